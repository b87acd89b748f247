import { MoveRefused } from "../../metadata/move.ts";
import { dataDirectory, DataDirectoryError } from "../../server/data-directory.ts";
import { moveMetadata } from "../../server/move-metadata.ts";
import { CommandFailure } from "../command.ts";
import type { Noun } from "../noun.ts";
import { localSettings, serverFiles } from "../local-settings.ts";
import { withProgress } from "../progress.ts";
import { doneResult } from "../results.ts";

/** Rows that were copied and compared in a second, on two cores with the database beside (measured). */
const rowsPerSecond = 30_000;

export const adminNoun: Noun = {
  name: "admin",
  summary: "what only who runs the server does",
  verbs: [
    {
      name: "move-metadata",
      summary:
        "Copies all metadata from the data directory into an empty PostgreSQL, or back, and compares. Servers have to be stopped; what is copied from stays.",
      place: "local",
      flags: [
        { name: "to", placeholder: "postgres|file", doc: "Where to.", isRequired: true },
        { name: "url", placeholder: "URL", doc: "The PostgreSQL; else `metadata.url`." },
        { name: "password-file", placeholder: "FILE", doc: "With its password; else `metadata.password-file`." },
        ...serverFiles,
      ],
      async run({ text }) {
        const to = text("to");
        if (to !== "postgres" && to !== "file") throw new CommandFailure("--to: expected postgres or file");
        const settings = localSettings({ text }, { url: "metadata-url", "password-file": "metadata-password-file" });
        const begun = performance.now();
        let progress = { copied: 0, total: 0 };
        const tell = (copied: number, total: number): void => {
          if (copied === 0) console.error(`${total} rows to copy: about ${expected(total)}`);
          progress = { copied, total };
        };
        try {
          const directory = dataDirectory(settings.data);
          const moved = await withProgress(
            (seconds) => `${progress.copied} of ${progress.total} rows, ${seconds} s`,
            () => moveMetadata({ directory, metadata: settings, to, tell }),
          );
          const seconds = Math.round((performance.now() - begun) / 100) / 10;
          const place = to === "postgres" ? "PostgreSQL" : directory.database;
          return doneResult(
            `copied and compared ${moved.rows} rows of ${moved.tables} tables in ${seconds} s; they are in ${place} now`,
            { to, ...moved, seconds },
          );
        } catch (error) {
          if (error instanceof DataDirectoryError) throw error;
          // What is refused, and what the operator has to mend: no stack.
          const nothing = error instanceof MoveRefused ? "" : "; nothing was copied";
          throw new CommandFailure((error as Error).message + nothing);
        }
      },
    },
  ],
};

function expected(rows: number): string {
  const seconds = Math.max(1, Math.round(rows / rowsPerSecond));
  return seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} minutes`;
}
