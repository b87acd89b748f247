import { readFileSync } from "node:fs";
import { isMap, isScalar, LineCounter, type Node, parseDocument, type YAMLMap } from "yaml";
import { parseListen } from "./listen-address.ts";
import { flagOf, type Option, variableOf } from "./option.ts";
import { optionList, type Settings } from "./options.ts";

/** A setting that cannot be used; the message names where it stands and what is expected. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
}

/** Command line before environment before `berth.yaml` before default. @throws SettingsError */
export function loadSettings(
  flags: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): Settings {
  const path = flags.get("--config") ?? environment.BERTH_CONFIG;
  const file = path === undefined ? new Map<string, FileValue>() : readFile(path);
  const settings: Record<string, unknown> = {};
  for (const [name, option] of optionList) settings[name] = valueOf(option, flags, environment, file);
  return checkTogether(settings as Settings);
}

interface FileValue {
  value: unknown;
  place: string;
}

function valueOf(
  option: Option<unknown>,
  flags: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
  file: ReadonlyMap<string, FileValue>,
): unknown {
  const flag = flags.get(flagOf(option));
  if (flag !== undefined) return parse(option, flag, "text", flagOf(option));
  const variable = environment[variableOf(option)];
  if (variable !== undefined && variable !== "") return parse(option, variable, "text", variableOf(option));
  const entry = file.get(option.key);
  return entry === undefined ? option.default : parse(option, entry.value, "yaml", entry.place);
}

function parse(option: Option<unknown>, value: unknown, source: "text" | "yaml", place: string): unknown {
  try {
    return option.parse(value, source);
  } catch (error) {
    throw new SettingsError(`${place}: ${(error as Error).message}`);
  }
}

function readFile(path: string): Map<string, FileValue> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    const reason = error instanceof TypeError ? "it is not UTF-8" : (error as Error).message;
    throw new SettingsError(`${path}: cannot be read: ${reason}`);
  }
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines });
  const [problem] = document.errors;
  if (problem !== undefined) {
    throw new SettingsError(`${path}:${lines.linePos(problem.pos[0]).line}: ${problem.message.split("\n", 1)[0]}`);
  }
  const values = new Map<string, FileValue>();
  const root = document.contents as Node | null;
  const placeOf = (node: unknown, key: string): string => {
    const [offset] = (node as { range?: [number, number, number] }).range ?? [0];
    return `${path}:${lines.linePos(offset).line}: ${key}`;
  };
  const valueOfNode = (node: Node | null, place: string): unknown => {
    try {
      return node?.toJS(document) ?? null;
    } catch (error) {
      // An alias of nothing, or of too much.
      throw new SettingsError(`${place}: ${(error as Error).message}`);
    }
  };
  const walk = (map: YAMLMap, above: string): void => {
    for (const { key, value } of map.items) {
      const name = above + String(isScalar(key) ? key.value : key);
      if (optionList.some(([, option]) => option.key === name)) {
        const place = placeOf(key, name);
        values.set(name, { value: valueOfNode(value as Node | null, place), place });
      } else if (isMap(value) && optionList.some(([, option]) => option.key.startsWith(`${name}.`))) {
        walk(value, `${name}.`);
      } else {
        throw new SettingsError(`${placeOf(key, name)}: there is no such setting (docs/options.md lists them)`);
      }
    }
  };
  if (isMap(root)) walk(root, "");
  else if (root !== null && !(isScalar(root) && root.value === null))
    throw new SettingsError(`${path}:1: expected settings, "key: value" on each line`);
  return values;
}

/** What no single setting can tell. */
function checkTogether(settings: Settings): Settings {
  const { tlsCert, tlsKey, stores, hosts } = settings;
  if ((tlsCert === undefined) !== (tlsKey === undefined)) throw new SettingsError("tls.cert and tls.key go together");
  if (settings.tls === "files" && tlsCert === undefined) {
    throw new SettingsError("tls.mode is files, but tls.cert and tls.key are not set");
  }
  if (settings.tls === "self-signed" && tlsCert !== undefined) {
    throw new SettingsError("tls.mode is self-signed, but tls.cert is set; choose one");
  }
  for (const { name, store } of hosts) {
    if (store !== "default" && !Object.hasOwn(stores, store))
      throw new SettingsError(`hosts: ${name}: there is no store "${store}"`);
  }
  const tls = tlsCert === undefined ? settings.tls : "files";
  const { hostname } = parseListen(settings.listen);
  if (tls === "off" && !settings.insecureHttp && !isLoopback(hostname)) {
    throw new SettingsError(
      `${hostname} is not loopback, and plain HTTP shows passwords and tokens to the network: ` +
        "give --tls self-signed, or --tls-cert and --tls-key, or --insecure-http if a proxy terminates TLS",
    );
  }
  return { ...settings, tls };
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "::1" || /^127(?:\.\d{1,3}){3}$/.test(hostname);
}
