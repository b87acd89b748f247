import { join } from "node:path";
import { format } from "prettier";
import { errorTable } from "../src/http/error-table.ts";
import { flagOf, variableOf } from "../src/server/option.ts";
import { optionList } from "../src/server/options.ts";

/** The reference pages that are made from tables in the sources. */
const pages: Record<string, () => string> = { "docs/errors.md": errorsPage, "docs/options.md": optionsPage };

const notice = "<!-- Made by `npm run docs` from the sources; do not edit. -->";

function errorsPage(): string {
  const rows = Object.entries(errorTable).map(
    ([code, { status, message, doc }]) => `| \`${code}\` | ${status} | ${message} | ${doc} |`,
  );
  return [
    notice,
    "# Errors",
    "",
    "Every refusal has a body in the form of the distribution specification, and an `X-Request-Id` that stands in the log too:",
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
