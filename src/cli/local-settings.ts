import { loadSettings } from "../server/settings.ts";
import type { Settings } from "../server/options.ts";
import type { Flag, Input } from "./noun.ts";

/** How a verb that works on this machine's files is told which server's they are. */
export const serverFiles: readonly Flag[] = [
  { name: "data", placeholder: "DIR", doc: "The server's data directory; else as `berth serve` has it." },
  { name: "config", placeholder: "FILE", doc: "The server's berth.yaml; else as `berth serve` has it." },
];

/**
 * The settings of the server that is meant.
 * @param more settings of `berth serve` by the verb's own flags, both without dashes
 */
export function localSettings({ text }: Pick<Input, "text">, more: Readonly<Record<string, string>> = {}): Settings {
  const names = { data: "data", config: "config", ...more };
  const flags = new Map<string, string>();
  for (const [own, setting] of Object.entries(names)) {
    const value = text(own);
    if (value !== undefined) flags.set(`--${setting}`, value);
  }
  return loadSettings(flags, process.env);
}
