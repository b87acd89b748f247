import { describe, expect, test } from "bun:test";
import { flagOf, variableOf } from "../server/option.ts";
import { optionList } from "../server/options.ts";
import { UsageError } from "./command.ts";
import { parseFlags, serve } from "./serve.ts";

describe("flags", () => {
  const good: [string[], [string, string][]][] = [
    [[], []],
    [["--workers", "2"], [["--workers", "2"]]],
    [["--workers=2"], [["--workers", "2"]]],
    [["--public-name=a=b"], [["--public-name", "a=b"]]],
    [["--public-name="], [["--public-name", ""]]],
    [["--insecure-http"], [["--insecure-http", "true"]]],
    [["--insecure-http=false"], [["--insecure-http", "false"]]],
    // A value is taken as it stands, even where it looks like a flag.
    [["--data", "--workers"], [["--data", "--workers"]]],
    [
      ["--insecure-http", "--workers", "2", "--config", "x"],
      [
        ["--insecure-http", "true"],
        ["--workers", "2"],
        ["--config", "x"],
      ],
    ],
  ];
  test.each(good)("%j", (args, flags) => {
    expect([...parseFlags(args)]).toEqual(flags);
  });

  const bad: [string[], RegExp][] = [
    [["--nonsense"], /no option --nonsense\b/],
    [["--worker", "2"], /no option --worker\b/],
    [["-d", "x"], /no option -d\b/],
    [["data"], /no option data\b/],
    [["--insecure-http", "false"], /no option false\b/],
    [["--workers"], /--workers needs a value/],
    [["--data", "x", "--listen"], /--listen needs a value/],
    [["--workers", "2", "--workers", "2"], /--workers is given twice/],
    [["--workers=2", "--workers", "3"], /--workers is given twice/],
    [["--"], /no option --/],
  ];
  test.each(bad)("%j is not understood", (args, message) => {
    expect(() => parseFlags(args)).toThrow(UsageError);
    expect(() => parseFlags(args)).toThrow(message);
  });

  test.each(optionList.map(([, option]) => [flagOf(option), option] as const))("%s", (flag, option) => {
    expect([...parseFlags([`${flag}=v`])]).toEqual([[flag, "v"]]);
    if (option.placeholder === "") expect([...parseFlags([flag])]).toEqual([[flag, "true"]]);
    else expect([...parseFlags([flag, "v"])]).toEqual([[flag, "v"]]);
  });
});

test("the help names each option with its flag, variable, key, default and words", () => {
  const help = serve.help();
  expect(help).toContain("BERTH_CONFIG");
  for (const [, option] of optionList) {
    const start = help.indexOf(`\n  ${`${flagOf(option)} ${option.placeholder}`.trimEnd()}\n`);
    expect(start).toBeGreaterThan(0);
    const entry = help.slice(start + 1, (help.indexOf("\n  --", start + 1) + 1 || help.length + 1) - 1);
    expect(entry).toContain(option.doc);
    expect(entry).toEndWith(`${variableOf(option)}, ${option.key}${entry.endsWith("\n") ? "\n" : ""}`);
    if (option.default !== undefined) {
      const shown = typeof option.default === "string" ? option.default : JSON.stringify(option.default);
      expect(entry).toContain(`(default: ${shown})`);
    }
  }
});
