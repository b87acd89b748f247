import { expect, test } from "bun:test";
import fc from "fast-check";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Memberships } from "../identity/memberships.ts";
import { Freshness } from "../metadata/freshness.ts";
import { migrate } from "../metadata/migrate.ts";
import { SqliteConnection, SqliteDatabase, SqliteWriter } from "../metadata/sqlite.ts";
import { run } from "../metadata/statement.ts";
import { Projects } from "../projects/projects.ts";
import { type Access, AccessControl, isRefusal } from "./access-control.ts";
import { recordEntries } from "./audit/audit-log.ts";
import { AuditJournal } from "./audit/journal.ts";
import type { Caller } from "./caller.ts";
import { Roles } from "./iam/roles.ts";
import {
  conditionText,
  isAllowed,
  type World,
  type WorldAccess,
  type WorldBinding,
  type WorldCaller,
} from "./naive-evaluator.suite.ts";
import { Policies } from "./policies.ts";

const call = { service: "test", method: "test", clientAddress: "", userAgent: "", requestId: "" };
const now = Date.parse("2026-06-01T00:00:00Z");
const organization = "77";
const top = `//cloudresourcemanager.googleapis.com/organizations/${organization}`;
const inProject = (id: string): string => `//cloudresourcemanager.googleapis.com/projects/${id}`;
const inBucket = (name: string): string => `//storage.googleapis.com/projects/_/buckets/${name}`;
const account = "//iam.googleapis.com/projects/p/serviceAccounts/1";
const pool = "iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/ci";

/** The door of a world, on a real database. */
async function withDoor(world: World, use: (door: Door) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "berth-access-"));
  const path = join(directory, "berth.db");
  const connection = new SqliteConnection(path, "write");
  try {
    migrate(connection);
    fill(connection, world);
    const database = new SqliteDatabase(path, new SqliteWriter(connection, [recordEntries]));
    const freshness = new Freshness(database);
    const journal = new AuditJournal(database, () => now);
    const access = new AccessControl({
      policies: new Policies(database, freshness),
      roles: new Roles(database, freshness),
      hierarchy: new Projects(database, freshness),
      journal,
      freshness,
      now: () => world.time,
    });
    await use({ access, memberships: new Memberships(database, freshness) });
    await journal.flush();
  } finally {
    connection.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

interface Door {
  access: AccessControl;
  memberships: Memberships;
}

function fill(connection: SqliteConnection, world: World): void {
  const insert = (sql: string, ...params: (string | number | null)[]): void => connection.run(run(sql, ...params));
  insert("INSERT INTO organizations VALUES (?, '', 'example.com', 0)", world.organization);
  world.projects.forEach(({ id, state, credentialsSince }, i) => {
    insert(
      `INSERT INTO projects (id, number, display_name, created_at, organization_id, delete_requested_at, credentials_since)
         VALUES (?, ?, '', 0, ?, ?, ?)`,
      id,
      String(i + 1),
      world.organization,
      state === "deleted" ? 1 : null,
      credentialsSince,
    );
  });
  for (const [resource, bindings] of Object.entries(world.policies)) {
    const stored = bindings.map(({ condition, ...binding }) => ({
      ...binding,
      ...(condition && { condition: { title: "t", expression: conditionText(condition) } }),
    }));
    insert("INSERT INTO policies (resource, etag, bindings) VALUES (?, 'e', ?)", resource, JSON.stringify(stored));
  }
  for (const [name, permissions] of Object.entries(world.customRoles)) {
    const sql = "INSERT INTO custom_roles VALUES (?, ?, '', '', 'GA', ?, 'e', NULL, 0)";
    insert(sql, name, name.replace(/\/roles\/.*/, ""), JSON.stringify(permissions));
  }
  for (const [email, members] of Object.entries(world.groups)) {
    insert("INSERT INTO groups VALUES (?, ?, '', '', 0)", email, email);
    for (const member of members) insert("INSERT INTO group_members VALUES (?, ?, 'local', 0)", email, member);
  }
}

async function callerOf({ memberships }: Door, { principal, sets, bounds, issuedAt }: WorldCaller): Promise<Caller> {
  return {
    principal,
    identities: await memberships.of(principal, sets),
    keyId: "",
    tokenIds: [],
    delegation: [],
    origins: [],
    bounds: bounds?.map(({ resource, permissions }) => ({ resource, permissions: new Set(permissions) as never })),
    issuedAt,
  };
}

const groupNames = ["one@example.com", "two@example.com", "three@example.com"];
const principals = [
  "user:ann@example.com",
  "user:bob@other.example",
  "serviceAccount:robot@p.iam.gserviceaccount.com",
  `principal://${pool}/subject/job`,
];
const sets = [`principalSet://${pool}/*`, `principalSet://${pool}/attribute.repository/a/b`];
const members = [
  ...principals,
  ...sets,
  ...groupNames.map((name) => `group:${name}`),
  "domain:example.com",
  "domain:other.example",
  "allUsers",
  "allAuthenticatedUsers",
  "deleted:user:ann@example.com?uid=1",
  "projectOwner:p",
  "projectEditor:p",
  "projectViewer:q",
];
const roles = [
  "roles/owner",
  "roles/editor",
  "roles/viewer",
  "roles/storage.objectViewer",
  "roles/storage.admin",
  "roles/storage.legacyBucketWriter",
  "roles/iam.serviceAccountTokenCreator",
  "projects/p/roles/mine",
  "roles/none",
];
const permissions = [
  "storage.objects.get",
  "storage.objects.create",
  "storage.buckets.get",
  "resourcemanager.projects.get",
  "iam.serviceAccounts.getAccessToken",
];
const objects = ["p/app", "p/app:v1", "p/app@sha256:00", "p/apple", "p/team/web", "*", "p/*"];
const accesses: WorldAccess[] = [
  { resource: top, project: undefined },
  { resource: inProject("p"), project: "p" },
  { resource: inProject("q"), project: "q" },
  { resource: inProject("none"), project: "none" },
  { resource: "//elsewhere.googleapis.com/x", project: undefined },
  { resource: account, project: "p" },
  ...["known", "unborn", "foreign"].flatMap((name) => {
    const project = name === "foreign" ? "q" : "p";
    const all = objects.map((object) => `${inBucket(name)}/objects/${object}`);
    return [inBucket(name), ...all].map((resource) => ({ resource, project }));
  }),
].flatMap((each) => permissions.map((permission) => ({ ...each, permission })));

const condition = fc.oneof(
  fc.constantFrom(now - 1, now, now + 1).map((time) => ({ kind: "before" as const, time })),
  fc
    .constantFrom("projects/_/buckets/known/objects/p/app", "projects/_/buckets/known/objects/p/app:", "projects/")
    .map((prefix) => ({ kind: "prefix" as const, prefix })),
  fc.constantFrom("storage.googleapis.com/Object", "cloudresourcemanager.googleapis.com/Project").map((type) => ({
    kind: "type" as const,
    type,
  })),
  fc.constant({ kind: "broken" as const }),
);
const isBasic = (role: string): boolean => ["roles/owner", "roles/editor", "roles/viewer"].includes(role);
const binding: fc.Arbitrary<WorldBinding> = fc
  .record({
    role: fc.constantFrom(...roles),
    members: fc.uniqueArray(fc.constantFrom(...members), { minLength: 1, maxLength: 4 }),
    condition: fc.option(condition, { nil: undefined }),
  })
  // The convenience members stand in buckets' policies alone; basic roles take no condition.
  .map(({ role, members: named, condition: on }) => ({
    role,
    members: named,
    ...(on !== undefined && !isBasic(role) && { condition: on }),
  }));
const withoutConvenience = (bindings: WorldBinding[]): WorldBinding[] =>
  bindings.map((each) => ({ ...each, members: each.members.filter((member) => !member.startsWith("project")) }));
const bindings = fc.array(binding, { maxLength: 5 });
const world: fc.Arbitrary<World> = fc.record({
  organization: fc.constant(organization),
  time: fc.constant(now),
  projects: fc.tuple(fc.constantFrom("active", "active", "deleted"), fc.constantFrom(0, 1000)).map(([state, since]) => [
    { id: "p", state: state as "active" | "deleted", credentialsSince: since },
    { id: "q", state: "active" as const, credentialsSince: 0 },
  ]),
  buckets: fc.constant([]),
  policies: fc
    .record({ top: bindings, p: bindings, q: bindings, known: bindings, foreign: bindings, account: bindings })
    .map((all) => ({
      [top]: withoutConvenience(all.top),
      [inProject("p")]: withoutConvenience(all.p),
      [inProject("q")]: withoutConvenience(all.q),
      [inBucket("known")]: all.known,
      [inBucket("foreign")]: all.foreign,
      [account]: withoutConvenience(all.account),
    })),
  customRoles: fc.subarray(permissions).map((held) => ({ "projects/p/roles/mine": held })),
  groups: fc
    .tuple(
      ...groupNames.map(() =>
        fc.uniqueArray(fc.constantFrom(...principals, ...groupNames.map((g) => `group:${g}`)), { maxLength: 3 }),
      ),
    )
    .map((lists) => Object.fromEntries(groupNames.map((name, i) => [name, lists[i] as string[]]))),
});
const caller: fc.Arbitrary<WorldCaller> = fc
  .record({
    principal: fc.constantFrom(...principals, "allUsers"),
    sets: fc.subarray(sets),
    bounds: fc.option(
      fc.array(
        fc.record({
          resource: fc.constantFrom("*", inProject("p"), `${inBucket("known")}/objects/p/app`, `${inBucket("known")}*`),
          permissions: fc.subarray(permissions),
        }),
        { maxLength: 3 },
      ),
      { nil: undefined, freq: 2 },
    ),
    issuedAt: fc.constantFrom(0, 500, 1000),
  })
  .map((made) => ({ ...made, sets: made.principal.startsWith("principal:") ? made.sets : [] }));

test("the door answers as IAM's documentation says", async () => {
  await fc.assert(
    fc.asyncProperty(world, fc.array(caller, { minLength: 1, maxLength: 3 }), async (state, callers) => {
      await withDoor(state, async (door) => {
        for (const each of callers) {
          const known = await callerOf(door, each);
          for (const access of accesses) {
            const expected = isAllowed(state, each, access);
            expect([access, await door.access.isAllowed(known, access as Access)]).toEqual([access, expected]);
          }
        }
      });
    }),
    { numRuns: 150 },
  );
}, 120_000);

test("a binding more takes nothing away, and a bound more gives nothing", async () => {
  await fc.assert(
    fc.asyncProperty(
      world,
      caller,
      binding,
      fc.constantFrom(top, inProject("p"), inBucket("known")),
      async (state, who, more, on) => {
        const allowed = async (of: World, as: WorldCaller): Promise<boolean[]> => {
          const found: boolean[] = [];
          await withDoor(of, async (door) => {
            const known = await callerOf(door, as);
            for (const access of accesses) found.push(await door.access.isAllowed(known, access as Access));
          });
          return found;
        };
        const before = await allowed(state, who);
        const added = [...(state.policies[on] ?? []), ...withoutConvenience([more])];
        const after = await allowed({ ...state, policies: { ...state.policies, [on]: added } }, who);
        const unbound = await allowed(state, { ...who, bounds: undefined });
        before.forEach((was, i) => {
          if (was) expect([accesses[i], after[i], unbound[i]]).toEqual([accesses[i], true, true]);
        });
      },
    ),
    { numRuns: 40 },
  );
}, 120_000);

test("what a listing reaches is what is allowed in it", async () => {
  await fc.assert(
    fc.asyncProperty(world, caller, async (state, who) => {
      await withDoor(state, async (door) => {
        const known = await callerOf(door, { ...who, bounds: undefined, issuedAt: 0 });
        const all = {
          permission: "storage.objects.get",
          resource: `${inBucket("known")}/objects/*`,
          project: "p",
        } as Access;
        const reach = await door.access.reach(known, all);
        for (const object of objects.filter((name) => !name.endsWith("*"))) {
          const one = { ...all, resource: `${inBucket("known")}/objects/${object}` };
          const isOpen = await door.access.isAllowed(known, one);
          if (reach === "all") expect([object, isOpen]).toEqual([object, true]);
          if (reach === "none") expect([object, isOpen]).toEqual([object, false]);
        }
      });
    }),
    { numRuns: 100 },
  );
}, 120_000);

test("all rights or none: the first that lacks is named", async () => {
  const state = { organization, time: now, buckets: [], customRoles: {}, groups: {} };
  const viewer = { role: "roles/storage.objectViewer", members: ["user:ann@example.com"] };
  const projects = [{ id: "p", state: "active" as const, credentialsSince: 0 }];
  await withDoor({ ...state, projects, policies: { [inBucket("known")]: [viewer] } }, async (door) => {
    const ann = await callerOf(door, { principal: "user:ann@example.com", sets: [], bounds: undefined, issuedAt: 0 });
    const resource = `${inBucket("known")}/objects/p/app`;
    const get = { permission: "storage.objects.get", resource, project: "p" } as Access;
    const create = { ...get, permission: "storage.objects.create" } as Access;
    expect(isRefusal(await door.access.authorize(ann, [get], call))).toBe(false);
    expect(await door.access.authorize(ann, [get, create], call)).toEqual({ refused: "policy", access: create });
    const bound = { ...ann, bounds: [] };
    expect(await door.access.authorize(bound, [get], call)).toEqual({ refused: "bounds", access: get });
    const nobody = await callerOf(door, { principal: "allUsers", sets: [], bounds: undefined, issuedAt: 0 });
    expect(await door.access.authorize(nobody, [get], call)).toEqual({ refused: "anonymous", access: get });
  });
});
