import { join } from "node:path";
import { format } from "prettier";
import { nouns } from "../src/cli/nouns.ts";
import { formatFlag, serverFlags, usageOf } from "../src/cli/usage.ts";
import { errorTable } from "../src/http/error-table.ts";
import { flagOf, variableOf } from "../src/server/option.ts";
import { optionList } from "../src/server/options.ts";

/** The reference pages that are made from tables in the sources. */
const pages: Record<string, () => string> = {
  "docs/cli.md": cliPage,
  "docs/errors.md": errorsPage,
  "docs/options.md": optionsPage,
};

const notice = "<!-- Made by `npm run docs` from the sources; do not edit. -->";

function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { status, message, doc }]) => `| \`${code}\` | ${status} | ${message} | ${doc} |`,
  );
  return [
    notice,
    "# Errors",
    "",
    'Every refusal below `/v2/` has a body in the form of the distribution specification; everywhere else it is the form of Google\'s APIs, `{"error": {"code", "message", "status"}}`. Both have an `X-Request-Id` that stands in the log too:',
    "",
    '```json\n{"errors":[{"code":"MANIFEST_UNKNOWN","message":"…","detail":{}}]}\n```',
    "",
    "| code | status | message, where there is no more exact one | when, and what to do |",
    "| --- | --- | --- | --- |",
    ...rows,
  ].join("\n");
}

function optionsPage(): string {
  const sections = optionList.map(([, option]) => {
    const value = option.default === undefined ? "none" : `\`${JSON.stringify(option.default).replaceAll('"', "")}\``;
    const names = `\`${`${flagOf(option)} ${option.placeholder}`.trim()}\` · \`${variableOf(option)}\` · default ${value}`;
    return `## ${option.key}\n\n${names}\n\n${option.doc}\n`;
  });
  return [
    notice,
    "# Options of `berth serve`",
    "",
    "Each option is a flag, a variable and a key in `berth.yaml`; a flag counts before a variable, a variable before the file.",
    "The file is named by `--config FILE` or `BERTH_CONFIG` and read strictly: an unknown key or a wrong value stops the start,",
    "and the message names the key and its line. A dot in a key is a level in the file:",
    "",
    "```yaml\nlisten: 0.0.0.0:443\ntls:\n  cert: /etc/berth/tls.crt\n  key: /etc/berth/tls.key\nhosts: [registry.corp.example]\n```",
    "",
    ...sections,
  ].join("\n");
}

function cliPage(): string {
  const list = (flags: typeof serverFlags): string =>
    flags.map(({ name, placeholder, doc }) => `- \`${`--${name} ${placeholder ?? ""}`.trim()}\`: ${doc}`).join("\n");
  const sections = nouns.flatMap((noun) => [
    `## berth ${noun.name}\n`,
    ...noun.verbs.flatMap((verb) => [
      verb.name === "" ? "" : `### berth ${noun.name} ${verb.name}\n`,
      `\`\`\`\n${usageOf(noun, verb)}\n\`\`\`\n`,
      `${verb.summary}\n`,
      `${list(verb.flags ?? [])}\n`,
    ]),
  ]);
  return [
    notice,
    "# The command line",
    "",
    "`npx berth COMMAND`, or `dist/berth COMMAND` of the single executable. `berth serve` runs the server: its options are",
    "in [options.md](options.md). `berth gcloud-env` and `berth gcloud-proxy` are for who has gcloud. All other commands manage a",
    "server over HTTP, with the rights of the service account whose key they are given:",
    "",
    "```sh",
    "export BERTH_KEY_FILE=data/admin-key.json",
    "npx berth service-account create builder --display-name 'Builds and pushes'",
    "npx berth iam add-binding --project my-project --role roles/storage.admin \\",
    "  --member serviceAccount:builder@my-project.iam.gserviceaccount.com",
    "npx berth key create builder builder-key.json",
    "npx berth token --key-file builder-key.json |",
    "  docker login -u oauth2accesstoken --password-stdin localhost:5000",
    "npx berth audit read --limit 10",
    "```",
    "",
    "These flags are common to all that talk to a server:",
    "",
    list([...serverFlags, formatFlag]),
    "",
    "What fails is told on standard error, and the exit code is 1; 2 where the command line was not understood. Passwords",
    "are never taken from the command line, which others on the machine can read.",
    "",
    "## When nobody can come in",
    "",
    "Whoever may read and write the server's data directory can give somebody all rights again. Stop the server, then:",
    "",
    "```\nberth iam recover --data DIR --member user:EMAIL --create-user\n```",
    "",
    "The audit log tells of it, and names the user of the operating system who did it.",
    "",
    ...sections,
  ].join("\n");
}

/** Pages that are not what their tables say now. */
export async function staleDocs(root: string): Promise<string[]> {
  const stale: string[] = [];
  for (const [path, make] of Object.entries(pages)) {
    const file = Bun.file(join(root, path));
    const current = (await file.exists()) ? await file.text() : "";
    if (current !== (await formatted(make))) stale.push(`${path} is stale: run \`npm run docs\``);
  }
  return stale;
}

function formatted(make: () => string): Promise<string> {
  return format(make(), { parser: "markdown", printWidth: 120 });
}

if (import.meta.main) {
  for (const [path, make] of Object.entries(pages))
    await Bun.write(join(import.meta.dir, "..", path), await formatted(make));
}
