import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mustCall } from "../harness/federation.ts";
import { listRoutes } from "../harness/route-list.ts";
import { type CallerName, callers, makeVariables, openScene, type Scene } from "./route-scene.ts";
import { type Row, type Sent, table } from "./route-table.ts";
import { openMetadata, type MetadataHandle } from "../harness/metadata.ts";

setDefaultTimeout(60_000);

let scene: Scene;
let database: MetadataHandle;

beforeAll(async () => {
  scene = await openScene();
  database = openMetadata(scene.berth.data);
});

afterAll(async () => {
  database.close();
  await scene.stop();
});

const statusesOf = (row: Row): string[] => (typeof row === "string" ? row : row.expect).split(" ");

async function send(route: string, caller: CallerName, variables: Record<string, string>, sent: Sent): Promise<number> {
  return (await exchange(route, caller, variables, sent)).status;
}

async function exchange(
  route: string,
  caller: CallerName,
  variables: Record<string, string>,
  sent: Sent,
): Promise<{ status: number; text: string }> {
  const [method = "", path = ""] = route.split(" ");
  const values = { ...variables, ...sent.variables };
  const filled = path.replaceAll(/\{(\w+)(?:=[^}]*)?\}/g, (_, name: string) => encodeURIComponent(values[name] ?? ""));
  const authorization = scene.credentials[caller];
  const { body } = sent;
  const isJson = typeof body === "object" && !(body instanceof URLSearchParams);
  const reply = await fetch(
    scene.berth.url + filled.replaceAll("%3A", ":").replaceAll("%40", "@").replaceAll("%2F", "/") + (sent.query ?? ""),
    {
      method,
      redirect: "manual",
      headers: {
        ...(authorization !== undefined && { authorization }),
        ...(isJson && { "content-type": "application/json" }),
      },
      ...(body === undefined || ["GET", "HEAD", "DELETE"].includes(method)
        ? {}
        : { body: isJson ? JSON.stringify(body) : body }),
    },
  );
  return { status: reply.status, text: await reply.text() };
}

/** What a call may change: all that is stored, but for the log of what was refused, and what shows that servers live. */
async function state(): Promise<string> {
  return new Bun.CryptoHasher("sha256")
    .update(JSON.stringify(await database.content(["audit_log", "leases"])))
    .digest("hex");
}

test("the table has every route of the program, and no others", () => {
  const routes = listRoutes();
  expect(new Set(routes).size).toBe(routes.length);
  const missing = routes.filter((route) => !Object.hasOwn(table, route));
  const gone = Object.keys(table).filter((route) => !routes.includes(route));
  expect({ missing, gone }).toEqual({ missing: [], gone: [] });
});

describe("who may what", () => {
  for (const [route, row] of Object.entries(table)) {
    test(route, async () => {
      const expected = statusesOf(row);
      const got: string[] = [];
      for (const [i, caller] of callers.entries()) {
        const variables = await makeVariables(scene, route.split(" ")[1] as string);
        const sent: Sent = typeof row === "string" ? { body: {} } : await row.call(scene, variables);
        const before = await state();
        const status = await send(route, caller, variables, sent);
        got.push(String(status));
        // Whoever is refused has changed nothing.
        if (expected[i] === "401" || expected[i] === "403") expect([caller, await state()]).toEqual([caller, before]);
      }
      expect(got).toEqual(expected);
    });
  }
});

describe("another project's child under one's own name is not there", () => {
  const parents = Object.keys(table).filter((route) =>
    /\{(?:project|parent)\}.*\{(?:account|key|pool|provider|role)\}/.test(route),
  );
  for (const route of parents.filter(
    (each) => !each.includes("/organizations/") && !each.endsWith(":testIamPermissions"),
  )) {
    test(route, async () => {
      const row = table[route] as Row;
      const variables = await makeVariables(scene, route.split(" ")[1] as string);
      const sent: Sent = typeof row === "string" ? { body: {} } : await row.call(scene, variables);
      const before = await state();
      const foreign = { ...sent, variables: { ...sent.variables, project: "other-project", parent: "other-project" } };
      const status = await send(route, "foreign", variables, foreign);
      expect([404, 403]).toContain(status);
      expect(await state()).toBe(before);
    });
  }
});

describe("who may not look is told the same of what is there and of what is not", () => {
  /** In place of each name that a path may hold: one that nothing has. */
  const missing: Record<string, string[]> = {
    project: ["missing-project", "111111111111"],
    parent: ["missing-project"],
    account: [
      "missing@my-project.iam.gserviceaccount.com",
      "missing@missing-project.iam.gserviceaccount.com",
      "1".repeat(21),
    ],
    key: ["0".repeat(40)],
    pool: ["nowhere-1"],
    provider: ["nowhere-1"],
    role: ["nowhere1"],
    bucket: ["artifacts.missing-project.appspot.com", "eu.artifacts.my-project.appspot.com"],
    name: ["my-project/nowhere-1", "missing-project/app"],
    reference: ["nowhere-1", `sha256:${"0".repeat(64)}`],
    digest: [`sha256:${"0".repeat(64)}`],
    upload: [`${crypto.randomUUID()}.1`],
    email: ["missing@example.com"],
    operation: ["cp.111111111111"],
    object: ["containers/repositories/library/missing/tag_v1"],
  };
  // Providers are on the sign-in page for all to see.
  const isPublic = (route: string): boolean => route.includes("/signin/") || route.startsWith("GET /v1/roles/");
  const withNames = Object.keys(table).filter((route) => /\{/.test(route) && !isPublic(route));

  /** What is said, with the names that the caller wrote taken out. */
  const told = ({ status, text }: { status: number; text: string }, names: Record<string, string>): string => {
    const values = Object.entries(names).sort(([, a], [, b]) => b.length - a.length);
    const bare = values.reduce((rest, [name, value]) => rest.replaceAll(value, `{${name}}`), decodeURIComponent(text));
    return `${status} ${bare}`;
  };

  for (const route of withNames) {
    test(route, async () => {
      const row = table[route] as Row;
      const path = route.split(" ")[1] as string;
      const own = (names: Record<string, string>): Record<string, string> =>
        Object.fromEntries(Object.entries(names).filter(([name]) => path.includes(`{${name}`)));
      for (const caller of ["anonymous", "stranger", "foreign"] as const) {
        const made = await makeVariables(scene, path);
        const sent: Sent = typeof row === "string" ? { body: {} } : await row.call(scene, made);
        const names = own({ ...made, ...sent.variables });
        const asked = { ...sent, variables: {} };
        const there = told(await exchange(route, caller, names, asked), names);
        if (there.startsWith("2") && !route.includes(":testIamPermissions")) continue;
        for (const [name, others] of Object.entries(missing)) {
          if (!(name in names)) continue;
          for (const other of others) {
            const changed = { ...names, [name]: other };
            const absent = told(await exchange(route, caller, changed, asked), changed);
            expect([caller, name, other, absent]).toEqual([caller, name, other, there]);
          }
        }
        if (names.project === undefined) continue;
        const project = await mustCall<{ projectNumber: string }>(scene.berth, "GET", `/v1/projects/${names.project}`);
        const numbered = { ...names, project: project.projectNumber };
        expect([caller, told(await exchange(route, caller, numbered, asked), numbered)]).toEqual([caller, there]);
      }
    });
  }
});

test("what was refused is in the audit log, with who asked for it", async () => {
  const { foreign } = scene.accounts;
  const reply = await scene.berth.fetch("/v2/entries:list", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({
      resourceNames: ["projects/my-project"],
      filter: `severity=ERROR AND protoPayload.authenticationInfo.principalEmail="${foreign.email}"`,
      pageSize: 1000,
    }),
  });
  const { entries } = (await reply.json()) as { entries: { protoPayload: { methodName: string } }[] };
  const methods = new Set(entries.map(({ protoPayload }) => protoPayload.methodName));
  expect(methods.size).toBeGreaterThan(60);
});

test("somebody unknown has 64 KiB for a body, somebody known 8 MiB", async () => {
  const status = async (bytes: number, caller: CallerName): Promise<number> => {
    const filler = "x".repeat(bytes - JSON.stringify({ grant: "" }).length);
    return send("POST /v1/organizations:search", caller, {}, { body: { grant: filler } });
  };
  expect(await status(2 ** 16, "anonymous")).toBe(401);
  expect(await status(2 ** 16 + 1, "anonymous")).toBe(400);
  expect(await status(2 ** 23, "stranger")).toBe(200);
  expect(await status(2 ** 23 + 1, "stranger")).toBe(400);
});
