import { DataDirectoryError, dataDirectory } from "../../server/data-directory.ts";
import { recover, RecoveryRefused } from "../../server/recover.ts";
import { CommandFailure } from "../command.ts";
import type { Noun } from "../noun.ts";
import { localSettings, serverFiles } from "../local-settings.ts";
import { doneResult } from "../results.ts";

export const recoverVerb: Noun["verbs"][number] = {
  name: "recover",
  summary:
    "Gives a member all rights again, where nobody has them: on the server's own machine, with its settings; while the server is stopped, unless its metadata is in PostgreSQL.",
  place: "local",
  flags: [
    { name: "member", placeholder: "MEMBER", doc: "`user:EMAIL` or `serviceAccount:EMAIL`.", isRequired: true },
    ...serverFiles,
    { name: "project", placeholder: "PROJECT", doc: "The project; else each one that nobody owns who can sign in." },
    { name: "create-user", doc: "Makes the user first, with a password that is shown once." },
  ],
  async run({ text, has }) {
    const settings = localSettings({ text });
    try {
      const { grants, password, member } = await recover({
        directory: dataDirectory(settings.data),
        metadata: settings,
        member: text("member") as string,
        project: text("project"),
        createsUser: has("create-user"),
        operator: operator(),
        now: Date.now(),
      });
      const lines = grants.map(({ role, on }) => `gave ${member} ${role} on ${on}`);
      const made = password === undefined ? [] : [`made ${member}, password (shown only now): ${password}`];
      const none = grants.length === 0 ? [`${member} has all of it already`] : [];
      return doneResult([...made, ...lines, ...none].join("\n"), { member, password, grants });
    } catch (error) {
      if (error instanceof RecoveryRefused) throw new CommandFailure(error.message);
      if (error instanceof DataDirectoryError) throw error;
      // A newer schema, a disk that is full: the operator's to mend, so no stack.
      throw new CommandFailure((error as Error).message);
    }
  },
};

/** Who runs this, for the audit log. Bun's `userInfo` believes $USER. */
function operator(): string {
  const { success, stdout } = Bun.spawnSync(["id", "-un"], { stderr: "ignore" });
  return success ? stdout.toString().trim() : `uid-${process.getuid?.()}`;
}
