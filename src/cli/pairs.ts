import { UsageError } from "./command.ts";

/** `--flag KEY=VALUE` given some times; `undefined` where it never was. @throws UsageError */
export function readPairs(flag: string, texts: readonly string[]): Record<string, string> | undefined {
  if (texts.length === 0) return undefined;
  return Object.fromEntries(
    texts.map((text) => {
      const equals = text.indexOf("=");
      if (equals < 1) throw new UsageError(`--${flag}: ${text} is not KEY=VALUE`);
      return [text.slice(0, equals), text.slice(equals + 1)];
    }),
  );
}
