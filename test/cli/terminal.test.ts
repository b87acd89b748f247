import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { berthCommand } from "../harness/berth.ts";
import { openSite, signIn, type Site } from "./site.ts";

let site: Site;
beforeAll(async () => {
  site = await openSite();
  await site.text("user", "create", "ann@example.com");
});
afterAll(() => site.stop());

interface Session {
  columns?: number;
  env?: Record<string, string | undefined>;
  /** What is typed after each question. */
  typed?: string[];
}

/** Runs `berth ARGS` in a terminal of its own; answers what was to be seen there. */
async function inTerminal(args: readonly string[], { columns = 80, env = {}, typed = [] }: Session = {}) {
  let seen = "";
  let answered = 0;
  const child = Bun.spawn([...berthCommand(), ...args], {
    env: { ...process.env, NO_COLOR: undefined, BERTH_KEY_FILE: join(site.berth.data, "admin-key.json"), ...env },
    timeout: 20_000,
    terminal: {
      cols: columns,
      rows: 24,
      data(terminal, data) {
        seen += Buffer.from(data).toString("utf8");
        const questions = seen.split(/assword of [^:\n]*: /).length - 1;
        if (questions > answered) terminal.write(typed[answered++] ?? "\x03");
      },
    },
  });
  const code = await child.exited;
  return { code, lines: seen.replaceAll("\r", "").trimEnd().split("\n") };
}

const policy = ["iam", "get-policy", "--project", "my-project"];
const bold = "\x1b[1m";

test("a table fits the terminal, and loses nothing", async () => {
  const whole = await site.text(...policy);
  for (const columns of [60, 100, 200]) {
    const { code, lines } = await inTerminal(policy, { columns, env: { NO_COLOR: "1" } });
    expect(code).toBe(0);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
    const letters = (text: string): string => [...text.replaceAll(/\s/g, "")].sort().join("");
    expect(letters(lines.join(""))).toBe(letters(whole));
  }
});

test("only a terminal gets colours, and not where NO_COLOR says so", async () => {
  expect((await inTerminal(policy)).lines[0]).toStartWith(bold);
  expect((await inTerminal(policy, { env: { NO_COLOR: "1" } })).lines.join("")).not.toContain("\x1b");
  expect((await inTerminal([...policy, "--format", "json"])).lines.join("")).not.toContain("\x1b");
  expect(await site.text(...policy)).not.toContain("\x1b");
  expect((await inTerminal(["project", "describe", "none"])).lines.join("")).not.toContain("\x1b");
});

test("what somebody named a thing does not reach the terminal as a command", async () => {
  const name = "\x1b]0;title\x07\x1b[2J\nx";
  await site.text("service-account", "create", "evil", "--display-name", name);
  const { lines } = await inTerminal(["service-account", "list"], { columns: 200, env: { NO_COLOR: "1" } });
  expect(lines.join("\n")).not.toContain("\u001b");
  expect(await site.json<object[]>("service-account", "list")).toMatchObject([{ displayName: name }, {}]);
});

test("a password is asked for twice, and not shown", async () => {
  const password = "correct horse battery";
  const set = ["user", "set-password", "ann@example.com", "--password-stdin"];
  const { code, lines } = await inTerminal(set, { typed: [`${password}\r`] });
  // The second question reads otherwise, and gets the interrupt of somebody who gives up.
  expect({ code, text: lines.join("\n") }).toMatchObject({
    code: 1,
    text: expect.not.stringContaining(password) as string,
  });
  const both = await inTerminal(set, { typed: [`${password}\r`, `${password}\r`] });
  // Before the matcher, which Bun writes into what it matched.
  expect(both.lines.join("\n")).not.toContain("horse");
  expect(both).toMatchObject({
    code: 0,
    lines: expect.arrayContaining(["changed the password of ann@example.com"]) as string[],
  });
  expect(await signIn(site.berth, "ann@example.com", password)).toMatch(/^ey/);
  const different = await inTerminal(set, { typed: [`${password}\r`, `${password}!\r`] });
  expect(different).toMatchObject({
    code: 1,
    lines: expect.arrayContaining(["berth: the two are not the same"]) as string[],
  });
  const given = await inTerminal(set, { typed: ["\x03"] });
  expect(given).toMatchObject({ code: 1, lines: expect.arrayContaining(["berth: nothing was changed"]) as string[] });
});

test("who waits for more than a second sees for what", async () => {
  using slow = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch() {
      await Bun.sleep(1600);
      return Response.json({ access_token: "t" });
    },
  });
  const origin = `http://127.0.0.1:${slow.port}`;
  const { code, lines } = await inTerminal(["token", "--server", origin]);
  expect(code).toBe(0);
  expect(lines.join("\n")).toContain(`waiting for ${origin} (1 s)`);
  const quiet = await site.cli(["token", "--server", origin]);
  expect(quiet).toEqual({ code: 0, stdout: "t\n", stderr: "" });
});
