import type { Flag, Noun, Verb } from "./noun.ts";

/** The flags of everything that talks to a server. */
export const serverFlags: readonly Flag[] = [
  {
    name: "server",
    placeholder: "URL",
    doc: "The server; else `BERTH_SERVER`, else where the key file comes from.",
  },
  {
    name: "key-file",
    placeholder: "FILE",
    doc: "The service account's key file to sign in with; else `BERTH_KEY_FILE`, `GOOGLE_APPLICATION_CREDENTIALS`, `./data/admin-key.json`. `BERTH_ACCESS_TOKEN` holds an access token in place of a key; then the server has to be named.",
  },
  {
    name: "ca",
    placeholder: "FILE",
    doc: "Certificate authority of the server, in PEM, where it is not a public one; else `BERTH_CA`.",
  },
];

export const formatFlag: Flag = {
  name: "format",
  placeholder: "table|json",
  doc: "`table`, the default, or `json` for programs.",
};

/** All flags of a verb: its own, and those that it shares. */
export function flagsOf({ flags = [], place, output }: Verb): readonly Flag[] {
  return [...flags, ...(place === "local" ? [] : serverFlags), ...(output === "lines" ? [] : [formatFlag])];
}

function plainForm({ name, placeholder }: Flag): string {
  return placeholder === undefined ? `--${name}` : `--${name} ${placeholder}`;
}

function written(flag: Flag): string {
  return `${flag.isRequired ? plainForm(flag) : `[${plainForm(flag)}]`}${flag.isMultiple ? "…" : ""}`;
}

/** `(--project PROJECT | --bucket BUCKET)`; brackets where none has to be given. */
function alternatives(flags: readonly Flag[]): string[] {
  const forms = flags.map(plainForm).join(" | ");
  if (flags.length === 0) return [];
  return [flags[0]?.alternative === "required" ? `(${forms})` : `[${forms}]`];
}

/** `berth project create PROJECT [--name NAME]`: what must be given, first. */
export function usageOf(noun: Noun, { name, operands = [], flags = [] }: Verb): string {
  const words = [
    "berth",
    noun.name,
    name,
    ...operands,
    ...flags.filter(({ isRequired }) => isRequired).map(written),
    ...alternatives(flags.filter(({ alternative }) => alternative !== undefined)),
    ...flags.filter(({ isRequired, alternative }) => !isRequired && alternative === undefined).map(written),
  ];
  return words.filter((word) => word !== "").join(" ");
}

function plain(doc: string): string {
  return doc.replaceAll("`", "");
}

function listFlags(flags: readonly Flag[]): string[] {
  return flags.map((flag) => `  ${plainForm(flag)}\n      ${plain(flag.doc)}`);
}

/** The text of `berth help NOUN VERB`. */
export function helpOfVerb(noun: Noun, verb: Verb): string {
  return [usageOf(noun, verb), "", plain(verb.summary), "", ...listFlags(flagsOf(verb))].join("\n").trimEnd();
}

/** The text of `berth help NOUN`. */
export function helpOfNoun(noun: Noun): string {
  const [only] = noun.verbs;
  if (only?.name === "") return helpOfVerb(noun, only);
  const verbs = noun.verbs.flatMap((verb) => ["", usageOf(noun, verb), `    ${plain(verb.summary)}`]);
  const shared = noun.verbs.some(({ place }) => place !== "local")
    ? ["", ...listFlags([...serverFlags, formatFlag])]
    : [];
  return [noun.summary, ...verbs, ...shared, "", `berth help ${noun.name} VERB tells more.`].join("\n");
}
