import { createHash, randomBytes } from "node:crypto";
import { join } from "node:path";
import { type Berth, berthCommand, type BerthOptions, startBerth } from "../harness/berth.ts";
import { makeScratch, type Scratch } from "../harness/scratch.ts";
import { attempt, type RunOptions } from "../harness/tools.ts";

/** What a command said, and how it ended. */
export interface Said {
  code: number;
  stdout: string;
  stderr: string;
}

/** A server, and people at a command line who hold its admin key. */
export interface Site {
  berth: Berth;
  scratch: Scratch;
  /** Runs `berth ARGS` to its end, whatever the end is. */
  cli(args: readonly string[], options?: RunOptions): Promise<Said>;
  /** What `berth ARGS` prints as a table, its last line's end left out. @throws Error with all it said, if it fails */
  text(...args: string[]): Promise<string>;
  /** What `berth ARGS --format json` prints. */
  json<T>(...args: string[]): Promise<T>;
  /** The second column of a table by the first one. */
  facts(...args: string[]): Promise<Record<string, string>>;
  stop(): Promise<void>;
}

/** The variables of who runs the tests do not count. */
const forgotten = {
  BERTH_SERVER: undefined,
  BERTH_CA: undefined,
  BERTH_ACCESS_TOKEN: undefined,
  BERTH_DATA: undefined,
  GOOGLE_APPLICATION_CREDENTIALS: undefined,
  BERTH_KEY_FILE: undefined,
  NO_COLOR: undefined,
};

export async function runCli(args: readonly string[], { env, ...options }: RunOptions = {}): Promise<Said> {
  const run = { limit: 20_000, ...options, env: { ...forgotten, ...env } };
  const { code, stdout, output } = await attempt([...berthCommand(), ...args], run);
  return { code, stdout, stderr: output.slice(stdout.length) };
}

export async function openSite(options: BerthOptions = {}): Promise<Site> {
  const berth = await startBerth(options);
  const scratch = makeScratch();
  const site: Site = {
    berth,
    scratch,
    cli(args, { env, ...others } = {}) {
      const own = { BERTH_KEY_FILE: join(berth.data, "admin-key.json"), ...env };
      return runCli(args, { cwd: scratch.path, ...others, env: own });
    },
    async text(...args) {
      const { code, stdout, stderr } = await site.cli(args);
      if (code !== 0) throw new Error(`berth ${args.join(" ")} exited with ${code}:\n${stdout}${stderr}`);
      return stdout.trimEnd();
    },
    json: async <T>(...args: string[]) => JSON.parse(await site.text(...args, "--format", "json")) as T,
    async facts(...args) {
      const lines = (await site.text(...args)).split("\n").map((line) => line.split(/ {2,}/));
      return Object.fromEntries(lines.map(([name = "", value = ""]) => [name, value]));
    },
    async stop() {
      await berth.stop();
      await scratch.remove();
    },
  };
  return site;
}

/** An access token of a person, who signs in on the server's page. */
export async function signIn({ url }: Berth, email: string, password: string): Promise<string> {
  const verifier = randomBytes(32).toString("base64url");
  const request = {
    client_id: "berth-cli",
    redirect_uri: "http://localhost:9/",
    response_type: "code",
    scope: "https://www.googleapis.com/auth/cloud-platform",
    state: "",
    code_challenge: createHash("sha256").update(verifier).digest("base64url"),
    code_challenge_method: "S256",
  };
  const page = await fetch(`${url}/o/oauth2/v2/auth?${new URLSearchParams(request).toString()}`);
  const form = /name="form" value="([^"]+)"/.exec(await page.text())?.[1] ?? "";
  const body = new URLSearchParams({ ...request, form, email, password });
  const cookie = page.headers.get("set-cookie")?.split(";")[0] ?? "";
  const reply = await fetch(`${url}/o/oauth2/v2/auth`, {
    method: "POST",
    body,
    headers: { cookie },
    redirect: "manual",
  });
  const code = URL.parse(reply.headers.get("location") ?? "")?.searchParams.get("code");
  if (code === null || code === undefined) throw new Error(`the sign-in of ${email} answered with ${reply.status}`);
  const { client_id, redirect_uri } = request;
  const grant = { grant_type: "authorization_code", code, client_id, redirect_uri, code_verifier: verifier };
  const token = await fetch(`${url}/token`, { method: "POST", body: new URLSearchParams(grant) });
  return ((await token.json()) as { access_token: string }).access_token;
}
