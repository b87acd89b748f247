import { command } from "../../metadata/database.ts";
import { run, type Steps } from "../../metadata/statement.ts";
import type { Principal } from "../../names/principals.ts";
import type { ProjectId } from "../../names/reference.ts";
import type { ResourceName } from "../../names/resources.ts";
import type { Access, Grant } from "../access-control.ts";
import type { Call, Caller } from "../caller.ts";

/** Who does something, in which call and by which rights: plain data that goes with each command. */
export interface Actor {
  principal: Principal;
  /** The service-account key behind the credential; empty where there is none. */
  keyId: string;
  /** Who acts as the principal, the nearest last. */
  delegation: readonly Principal[];
  call: Call;
  accesses: readonly Access[];
}

export function actorOf(grant: Grant): Actor {
  return actorFor(grant.caller, grant.accesses, grant.call);
}

export function actorFor({ principal, keyId, delegation }: Caller, accesses: readonly Access[], call: Call): Actor {
  return { principal, keyId, delegation, call, accesses };
}

/** The logs that Cloud Audit Logs has; a denial is its own. [Cloud Logging, "Cloud Audit Logs overview"] */
export type LogName = "activity" | "data_access" | "policy" | "system_event";

/** What is written for one call, or for equal ones together. */
export interface AuditEntry {
  log: LogName;
  actor: Actor;
  resource: ResourceName;
  detail: object;
  granted: boolean;
  at: number;
  /** How many equal calls it stands for, the first of them at `firstAt`. */
  count: number;
  firstAt: number;
}

/** The audit entry of a change, written in the change's own transaction. */
export function* recordChange(actor: Actor, resource: ResourceName, detail: object, at: number): Steps<void> {
  yield* insertEntry({ log: "activity", actor, resource, detail, granted: true, at, count: 1, firstAt: at });
}

/** The entry of what the server did by itself, for nobody. [Cloud Logging, "System Event audit logs"] */
export function* recordEvent(
  { service, method }: Pick<Call, "service" | "method">,
  { resource, project }: Pick<Access, "resource" | "project">,
  detail: object,
  at: number,
): Steps<void> {
  const call = { service, method, clientAddress: "", userAgent: "", requestId: "" };
  const actor = { principal: "", keyId: "", delegation: [], call, accesses: [] };
  yield* insertEntry(
    { log: "system_event", actor, resource, detail, granted: true, at, count: 1, firstAt: at },
    project,
  );
}

/** Entries of calls that changed nothing: denials, reads. */
export const recordEntries = command(
  "access.recordEntries",
  function* (entries: readonly AuditEntry[]) {
    for (const entry of entries) yield* insertEntry(entry);
  },
  "nothing",
);

function* insertEntry(
  entry: AuditEntry,
  project: ProjectId | undefined = projectOf(entry.actor.accesses),
): Steps<void> {
  const { log, actor, resource, detail, granted, at, count, firstAt } = entry;
  const { principal, keyId, delegation, call, accesses } = actor;
  const authorization = accesses.map((access) => ({
    resource: access.resource.slice(0, maxResource),
    permission: access.permission,
    granted,
  }));
  yield* run(
    `INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail, log, project_id,
       service, user_agent, key_id, delegation, "authorization", count, first_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    at,
    principal,
    call.method,
    resource.slice(0, maxResource),
    call.requestId,
    call.clientAddress,
    wellFormed(detail),
    log,
    project ?? null,
    call.service,
    call.userAgent.slice(0, maxUserAgent),
    keyId,
    wellFormed(delegation),
    wellFormed(authorization),
    count,
    firstAt,
  );
}

/** JSON that every database can look into: texts without U+0000 and half characters, which callers may have sent. */
function wellFormed(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "string" ? part.toWellFormed().replaceAll("\0", "\uFFFD") : part,
  );
}

const maxUserAgent = 500;
/** Beyond any name that exists. */
const maxResource = 800;
const maxProject = 200;

function projectOf(accesses: readonly Access[]): ProjectId | undefined {
  const project = accesses.find((access) => access.project !== undefined)?.project;
  // What somebody took for a project's name is in the resource.
  return project !== undefined && project.length <= maxProject ? project : undefined;
}
