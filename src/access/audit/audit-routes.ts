import { z } from "zod";
import { ApiError } from "../../http/api-error.ts";
import type { Database } from "../../metadata/database.ts";
import { adHoc, type SqlValue, type Steps } from "../../metadata/statement.ts";
import type { ProjectId } from "../../names/reference.ts";
import { organizationResource, projectResource } from "../../names/resources.ts";
import type { Access, Grant } from "../access-control.ts";
import { type ApiRoute, apiRoute, requireGrant } from "../api-route.ts";
import type { Permission } from "../permissions.ts";
import type { AuditCondition } from "./audit-fields.ts";
import { parseAuditFilter } from "./audit-filter.ts";
import { auditColumns, type AuditRow, viewEntry } from "./audit-view.ts";

const service = "logging.googleapis.com";
const maxPage = 1000;
const maxResources = 100;
const exportChunk = 1000;

interface AuditRooms {
  database: Database;
  findProject(named: string): Promise<ProjectId | undefined>;
  /** When the project was made: what is older was another's of the same name. */
  projectCreatedAt(project: ProjectId): Promise<number>;
  organization(): string | Promise<string>;
  /** Writes what is still in memory, so that a query sees what was done before it. */
  flush(): Promise<void>;
}

interface Scope {
  projects: { id: ProjectId; since: number }[];
  /** Whether entries of no project, and of all of them, are asked for. */
  organization: boolean;
  /** Whether entries of reads are among them. */
  isPrivate: boolean;
}

const listShape = z.looseObject({
  resourceNames: z
    .array(z.string().max(200))
    .min(1, "expected at least one, such as projects/PROJECT")
    .max(maxResources),
  filter: z.string().optional(),
  orderBy: z.string().optional(),
  pageSize: z.int().optional(),
  pageToken: z.string().max(100).optional(),
});

/** The audit log, as Cloud Logging's API shows it and as JSON lines. [Cloud Logging API v2, entries.list] */
export function auditRoutes(rooms: AuditRooms): ApiRoute[] {
  return [
    apiRoute({
      id: "google.logging.v2.LoggingServiceV2.ListLogEntries",
      service,
      method: "POST",
      path: "/v2/entries:list",
      body: listShape,
      needs: async ({ body }) => needsOf(rooms, body.resourceNames),
      async handle({ body }, grant) {
        await rooms.flush();
        const scope = await scopeOf(rooms, body.resourceNames, requireGrant(grant));
        const ascending = !/^timestamp desc$/i.test((body.orderBy ?? "timestamp asc").trim());
        const size = Math.min(Math.max(body.pageSize ?? 50, 1), maxPage);
        const { rows, next } = await searchEntries(rooms.database, scope, body.filter ?? "", {
          ascending,
          after: readToken(body.pageToken),
          limit: size + 1,
        });
        const shown = rows.slice(0, size);
        const last = rows.length > size ? shown.at(-1) : next;
        const organization = await rooms.organization();
        return {
          ...(shown.length > 0 && { entries: shown.map((row) => viewEntry(row, organization)) }),
          ...(last !== undefined && { nextPageToken: `${last.at}.${last.id}` }),
        };
      },
    }),
    apiRoute({
      id: "berth.audit.Export",
      service: "berth",
      method: "GET",
      path: "/berth/v1/audit:export",
      needs: async ({ query }) => needsOf(rooms, resourcesOf(query)),
      async handle({ query }, grant) {
        await rooms.flush();
        const scope = await scopeOf(rooms, resourcesOf(query), requireGrant(grant));
        const filter = query.get("filter") ?? "";
        parseAuditFilter(filter);
        return new Response(lines(rooms, scope, filter), { headers: { "content-type": "application/x-ndjson" } });
      },
    }),
  ];
}

function resourcesOf(query: URLSearchParams): string[] {
  const names = query.getAll("resource");
  if (names.length === 0)
    throw new ApiError("INVALID_ARGUMENT", "resource: expected projects/PROJECT or organizations/ID.");
  return names.slice(0, maxResources);
}

/** Who reads logs; those of reads take the second right too. [Cloud Logging, "Access control", private logs] */
const mayList: Permission = "logging.logEntries.list";
const mayListPrivate: Permission = "logging.privateLogEntries.list";

async function needsOf(rooms: AuditRooms, names: readonly string[]): Promise<Access[]> {
  return Promise.all(names.map((name) => accessTo(rooms, name, mayList)));
}

/** @throws ApiError INVALID_ARGUMENT */
async function accessTo(rooms: AuditRooms, name: string, permission: Permission): Promise<Access> {
  const [kind, id = ""] = name.split("/");
  if (kind === "organizations") return { permission, resource: organizationResource(id), project: undefined };
  if (kind !== "projects") {
    throw new ApiError("INVALID_ARGUMENT", `resourceNames: ${name} is not projects/PROJECT or organizations/ID.`);
  }
  const project = (await rooms.findProject(id)) ?? (id as ProjectId);
  return { permission, resource: projectResource(project), project };
}

/** Whether the private logs of all that is asked about are open to the caller. */
async function readsPrivate(rooms: AuditRooms, names: readonly string[], grant: Grant): Promise<boolean> {
  for (const name of names) if (!(await grant.may(await accessTo(rooms, name, mayListPrivate)))) return false;
  return true;
}

async function scopeOf(rooms: AuditRooms, names: readonly string[], grant: Grant): Promise<Scope> {
  const found = await Promise.all(
    names
      .filter((name) => name.startsWith("projects/"))
      .map((name) => rooms.findProject(name.slice("projects/".length))),
  );
  const ids = [...new Set(found.filter((project) => project !== undefined))];
  return {
    projects: await Promise.all(ids.map(async (id) => ({ id, since: await rooms.projectCreatedAt(id) }))),
    organization: names.some((name) => name.startsWith("organizations/")),
    isPrivate: await readsPrivate(rooms, names, grant),
  };
}

/** An entry's place in the order of time. */
type Place = Pick<AuditRow, "at" | "id">;

/** Entries that are looked at in one go, and for how long for one page, in ms: others get their turn in between. */
const block = 2000;
const longestSearch = 2000;

interface Listing {
  ascending: boolean;
  /** The last entry seen, in the direction of the listing. */
  after: Place | undefined;
  limit: number;
}

/**
 * Entries in the order of time, in which the indexes stand: of a long log only what is shown is read. Where few of many
 * match, a page may end before it is full.
 */
async function searchEntries(
  database: Database,
  scope: Scope,
  filter: string,
  { ascending, after, limit }: Listing,
): Promise<{ rows: AuditRow[]; next: Place | undefined }> {
  const condition = parseAuditFilter(filter);
  const until = performance.now() + longestSearch;
  const rows: AuditRow[] = [];
  for (let from = after; ;) {
    const found = await database.read(
      selectBlock(scope, condition, { ascending, after: from, limit: limit - rows.length }),
    );
    rows.push(...found.rows);
    if (rows.length === limit) return { rows, next: rows.at(-1) };
    if (found.end === undefined) return { rows, next: undefined };
    from = found.end;
    if (performance.now() > until) return { rows, next: from };
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** What matches in the next block of entries, and where the block ends if more follow. */
function* selectBlock(
  scope: Scope,
  condition: AuditCondition,
  { ascending, after, limit }: Listing,
): Steps<{ rows: AuditRow[]; end: Place | undefined }> {
  const ofProjects = scope.projects.map(() => "(project_id = ? AND at >= ?)").join(" OR ") || "1 = 0";
  const inScope = scope.organization ? "1 = 1" : `(${ofProjects})`;
  const [further, direction] = ascending ? [">", "ASC"] : ["<", "DESC"];
  const from = after === undefined ? "1 = 1" : `at ${further}= ? AND (at, id) ${further} (?, ?)`;
  const order = `ORDER BY at ${direction}, id ${direction}`;
  const source = `FROM audit_log WHERE ${inScope} AND ${from} AND (${condition.time?.sql ?? "1 = 1"})
    ${scope.isPrivate ? "" : "AND log <> 'data_access'"} ${order}`;
  const params: SqlValue[] = [
    ...(scope.organization ? [] : scope.projects.flatMap(({ id, since }) => [id, since])),
    ...(after === undefined ? [] : [after.at, after.at, after.id]),
    ...(condition.time?.params ?? []),
  ];
  const rows = yield* adHoc<AuditRow>(
    `SELECT * FROM (SELECT ${auditColumns} ${source} LIMIT ${block}) AS entries WHERE ${condition.sql} ${order} LIMIT ?`,
    ...params,
    ...condition.params,
    limit,
  );
  const [end] = yield* adHoc<Place>(`SELECT at, id ${source} LIMIT 1 OFFSET ${block - 1}`, ...params);
  return { rows, end };
}

function readToken(token: string | undefined): Place | undefined {
  if (token === undefined || token === "") return undefined;
  const [, at, id] = /^(\d{1,15})\.(\d{1,15})$/.exec(token) ?? [];
  if (at !== undefined && id !== undefined) return { at: Number(at), id: Number(id) };
  throw new ApiError("INVALID_ARGUMENT", "pageToken: it is not one that was given out.");
}

/** All entries, a line each, read piece by piece as the client takes them. */
function lines(rooms: AuditRooms, scope: Scope, filter: string): ReadableStream<Uint8Array> {
  let after: Place | undefined;
  const listing = (from: Place | undefined): Listing => ({ ascending: true, after: from, limit: exportChunk });
  const encoder = new TextEncoder();
  return new ReadableStream({
    async pull(controller) {
      let { rows, next } = await searchEntries(rooms.database, scope, filter, listing(after));
      // A stream that is given nothing is not asked again.
      while (rows.length === 0 && next !== undefined) {
        ({ rows, next } = await searchEntries(rooms.database, scope, filter, listing(next)));
      }
      const organization = await rooms.organization();
      if (rows.length > 0) {
        controller.enqueue(
          encoder.encode(rows.map((row) => `${JSON.stringify(viewEntry(row, organization))}\n`).join("")),
        );
      }
      after = next;
      if (next === undefined) controller.close();
    },
  });
}
