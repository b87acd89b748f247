import { existsSync } from "node:fs";
import { type Actor, recordChange } from "../access/audit/audit-log.ts";
import type { Binding } from "../access/iam/policy.ts";
import { newEtag } from "../access/iam/etag.ts";
import { readPolicy, writePolicy } from "../access/policies.ts";
import { hashPassword, randomPassword } from "../identity/passwords.ts";
import { findServiceAccount } from "../identity/service-accounts.ts";
import { isSomebody } from "../identity/somebody.ts";
import { findUser, insertUser } from "../identity/users.ts";
import { command } from "../metadata/database.ts";
import { isCurrent } from "../metadata/migrate.ts";
import { all, first, type Steps } from "../metadata/statement.ts";
import { randomDigits } from "../names/identifiers.ts";
import { formatMember, type Member, parseMember } from "../names/members.ts";
import type { ProjectId } from "../names/reference.ts";
import { organizationResource, projectResource, type ResourceName } from "../names/resources.ts";
import { completeServer } from "./bootstrap.ts";
import { claimDataDirectory, type DataDirectory, DataDirectoryError, releaseDataDirectory } from "./data-directory.ts";
import { type MetadataSettings, openMetadata, openPostgres } from "./metadata.ts";

/** The recovery cannot be done; the message says why, and what to do. */
export class RecoveryRefused extends Error {
  override readonly name = "RecoveryRefused";
}

interface RecoveryRequest {
  directory: DataDirectory;
  metadata: MetadataSettings;
  /** `user:EMAIL` or `serviceAccount:EMAIL`. */
  member: string;
  /** `undefined`: every project without an owner who can sign in. */
  project: string | undefined;
  createsUser: boolean;
  /** The name of the operating system's user who does this. */
  operator: string;
  now: number;
}

export interface Recovery {
  member: Member;
  /** What was given; what the member had before is not among it. */
  grants: { role: string; on: string }[];
  /** Of a user that was made. */
  password?: string;
}

/**
 * Lets the member in again: owner of projects, administrator of the organisation. Where the metadata is a file, while
 * no server runs; on PostgreSQL beside those that do.
 * @throws RecoveryRefused, NewerSchemaError, DataDirectoryError if a server runs or never ran
 */
export async function recover(request: RecoveryRequest): Promise<Recovery> {
  const { directory, metadata, project, now } = request;
  const parsed = parseMember(request.member);
  if ((parsed?.kind !== "user" && parsed?.kind !== "serviceAccount") || parsed.deletedUid !== undefined) {
    throw new RecoveryRefused(`--member: expected user:EMAIL or serviceAccount:EMAIL, not ${request.member}`);
  }
  if (request.createsUser && parsed.kind !== "user") throw new RecoveryRefused("--create-user is for a user:EMAIL");
  const isFile = metadata.metadataUrl === undefined;
  if (isFile && !existsSync(directory.database)) {
    throw new DataDirectoryError(`${directory.path} is no data directory of Berth; name it with --data`);
  }
  const password = request.createsUser ? randomPassword() : undefined;
  const passwordHash = password === undefined ? undefined : await hashPassword(password);
  if (isFile) claimDataDirectory(directory);
  try {
    await requireSchema(metadata);
    const { database, close } = await openMetadata(metadata, directory, [recoverAccess]);
    try {
      const member = formatMember(parsed);
      const grants = await database.write(recoverAccess, {
        member,
        ...(project !== undefined && { project }),
        ...(passwordHash !== undefined && { newUser: { uniqueId: randomDigits(21), passwordHash } }),
        newOrganization: { organizationId: randomDigits(12), organizationEtag: newEtag() },
        newEtag: newEtag(),
        operator: request.operator,
        requestId: crypto.randomUUID(),
        now,
      });
      return { member, grants, ...(password !== undefined && { password }) };
    } finally {
      await close();
    }
  } finally {
    if (isFile) releaseDataDirectory();
  }
}

/** Servers that run must not have the schema brought forward under them. @throws RecoveryRefused, NewerSchemaError */
async function requireSchema(metadata: MetadataSettings): Promise<void> {
  const postgres = await openPostgres(metadata);
  if (postgres === undefined) return;
  try {
    if (!(await isCurrent(postgres)))
      throw new RecoveryRefused("the database has no registry of this version: start a server of this version first");
  } finally {
    await postgres.close();
  }
}

interface RecoverInput {
  member: Member;
  project?: string;
  newUser?: { uniqueId: string; passwordHash: string };
  /** For data of a version that knew none. */
  newOrganization: { organizationId: string; organizationEtag: string };
  newEtag: string;
  operator: string;
  requestId: string;
  now: number;
}

/** What who administers the organisation has: see the organisation that a first start makes. */
const administratorRoles = [
  "roles/resourcemanager.organizationAdmin",
  "roles/resourcemanager.projectCreator",
  "roles/iam.organizationRoleAdmin",
  "roles/berth.admin",
];

/** All of a recovery, with its audit entries, or nothing. @throws RecoveryRefused */
export const recoverAccess = command("server.recover", function* (input: RecoverInput): Steps<Recovery["grants"]> {
  const { member, now } = input;
  if ((yield* first("SELECT id FROM projects LIMIT 1")) === undefined) {
    throw new RecoveryRefused("the server has no project yet: `berth serve` makes the first with its owner");
  }
  yield* completeServer.steps({ ...input.newOrganization, now });
  const { id } = (yield* first<{ id: string }>("SELECT id FROM organizations LIMIT 1")) as { id: string };
  if (input.newUser !== undefined) yield* makeUser(input, input.newUser);
  yield* requireUsable(member, now);

  const grants: Recovery["grants"] = [];
  for (const project of yield* projectsToRecover(input.project, now)) {
    const target = { resource: projectResource(project), project, on: `projects/${project}` };
    grants.push(...(yield* giveRoles(input, target, ["roles/owner"])));
  }
  const top = { resource: organizationResource(id), project: undefined, on: `organizations/${id}` };
  return [...grants, ...(yield* giveRoles(input, top, administratorRoles))];
});

function actorOf(
  { operator, requestId }: RecoverInput,
  permission:
    "resourcemanager.projects.setIamPolicy" | "resourcemanager.organizations.setIamPolicy" | "berth.users.create",
  resource: ResourceName,
  project?: ProjectId,
): Actor {
  return {
    principal: `recovery:${operator}`,
    keyId: "",
    delegation: [],
    call: {
      service: "berth",
      method: "berth.recovery.Recover",
      clientAddress: "",
      userAgent: "berth iam recover",
      requestId,
    },
    accesses: [{ permission, resource, project }],
  };
}

function* makeUser(input: RecoverInput, { uniqueId, passwordHash }: { uniqueId: string; passwordHash: string }) {
  const email = input.member.slice("user:".length);
  if ((yield* findUser(email)) !== undefined) {
    throw new RecoveryRefused(`the user ${email} is there already: leave out --create-user, or name another`);
  }
  yield* insertUser({ uniqueId, email, passwordHash, now: input.now });
  const resource = `//berth/users/${email}`;
  yield* recordChange(actorOf(input, "berth.users.create", resource), resource, { change: "created" }, input.now);
}

/** Rights are of no use to who cannot sign in. @throws RecoveryRefused */
function* requireUsable(member: Member, now: number): Steps<void> {
  const colon = member.indexOf(":");
  const [kind, email] = [member.slice(0, colon), member.slice(colon + 1)];
  if (kind === "user") {
    const user = yield* findUser(email);
    if (user === undefined) {
      throw new RecoveryRefused(`the user ${email} does not exist: --create-user makes it, with a new password`);
    }
    if (user.disabled !== 0) {
      throw new RecoveryRefused(`the user ${email} is disabled: name another; --create-user makes one`);
    }
    return;
  }
  const account = yield* findServiceAccount(email);
  const hint = "name a user; --create-user makes one";
  if (account === undefined) throw new RecoveryRefused(`the service account ${email} does not exist: ${hint}`);
  if (!(yield* isSomebody(member, { now, strict: true }))) {
    throw new RecoveryRefused(`the service account ${email} is disabled, or without a key that is good: ${hint}`);
  }
}

/** @throws RecoveryRefused */
function* projectsToRecover(named: string | undefined, now: number): Steps<ProjectId[]> {
  const projects = yield* all<{ id: ProjectId; number: string }>("SELECT id, number FROM projects ORDER BY id");
  if (named !== undefined) {
    const found = projects.find(({ id, number }) => id === named || number === named);
    if (found === undefined) throw new RecoveryRefused(`the project ${named} does not exist`);
    return [found.id];
  }
  const ownerless: ProjectId[] = [];
  for (const { id } of projects) if (!(yield* hasLivingOwner(id, now))) ownerless.push(id);
  return ownerless;
}

function* hasLivingOwner(project: ProjectId, now: number): Steps<boolean> {
  const policy = yield* readPolicy(projectResource(project));
  for (const { role, condition, members } of policy?.bindings ?? []) {
    if (role !== "roles/owner" || condition !== undefined) continue;
    for (const member of members) if (yield* isSomebody(member, { now, strict: true })) return true;
  }
  return false;
}

function* giveRoles(
  input: RecoverInput,
  { resource, project, on }: { resource: ResourceName; project: ProjectId | undefined; on: string },
  roles: readonly string[],
): Steps<Recovery["grants"]> {
  const { member, now, newEtag: etag } = input;
  const policy = (yield* readPolicy(resource)) ?? { etag, bindings: [], auditConfigs: [] };
  const has = ({ role, condition, members }: Binding, wanted: string): boolean =>
    role === wanted && condition === undefined && members.includes(member);
  const missing = roles.filter((role) => !policy.bindings.some((binding) => has(binding, role)));
  if (missing.length === 0) return [];
  const bindings = missing.reduce((list, role) => withMember(list, role, member), policy.bindings);
  yield* writePolicy(resource, { ...policy, etag, bindings });
  const permission =
    project === undefined ? "resourcemanager.organizations.setIamPolicy" : "resourcemanager.projects.setIamPolicy";
  const bindingDeltas = missing.map((role) => ({ action: "ADD", role, member }));
  yield* recordChange(actorOf(input, permission, resource, project), resource, { policyDelta: { bindingDeltas } }, now);
  return missing.map((role) => ({ role, on }));
}

function withMember(bindings: readonly Binding[], role: string, member: Member): Binding[] {
  const known = bindings.find((binding) => binding.role === role && binding.condition === undefined);
  if (known === undefined) return [...bindings, { role, members: [member] }];
  return bindings.map((each) => (each === known ? { ...each, members: [...each.members, member] } : each));
}
