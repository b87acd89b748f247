import { randomBytes } from "node:crypto";
import { type Account, makeAccount } from "../harness/accounts.ts";
import { type Berth, startBerth } from "../harness/berth.ts";
import { basic } from "../harness/caller.ts";
import { mustCall } from "../harness/federation.ts";
import { pushBlob, pushManifest } from "../harness/registry.ts";

/** Who walks; the order of the columns of the table. */
export const callers = ["anonymous", "stranger", "viewer", "writer", "admin", "foreign"] as const;
export type CallerName = (typeof callers)[number];

export const bucket = "artifacts.my-project.appspot.com";
export const repository = "my-project/app";
const mediaType = "application/vnd.oci.image.manifest.v1+json";

/** A server with one of everything, and callers of each kind. */
export interface Scene {
  berth: Berth;
  organization: string;
  /** The Authorization of each caller. */
  credentials: Record<CallerName, string | undefined>;
  accounts: Record<Exclude<CallerName, "anonymous">, Account>;
  stop(): Promise<void>;
}

export async function openScene(): Promise<Scene> {
  const berth = await startBerth();
  const post = <T>(path: string, body: object): Promise<T> => mustCall<T>(berth, "POST", path, body);
  const search = await post<{ organizations: { name: string }[] }>("/v1/organizations:search", {});
  const organization = (search.organizations[0]?.name ?? "").replace("organizations/", "");
  await post("/v1/projects", { projectId: "other-project" });
  await mustCall(berth, "POST", `/storage/v1/b?project=my-project`, { name: bucket });
  const accounts = {
    stranger: await makeAccount(berth, "stranger"),
    viewer: await makeAccount(berth, "viewer"),
    writer: await makeAccount(berth, "writer"),
    admin: await makeAccount(berth, "admin"),
    foreign: await makeAccount(berth, "foreign", "other-project"),
  };
  await Promise.all([makeImage(berth), tagImage(berth, "v1")]);
  await giveRoles(berth, "my-project", accounts);
  await give(berth, "my-project", [["roles/iam.serviceAccountTokenCreator", accounts.admin]]);
  await give(berth, "other-project", [["roles/owner", accounts.foreign]]);
  const credentials = {
    anonymous: undefined,
    stranger: basic(accounts.stranger.key),
    viewer: basic(accounts.viewer.key),
    writer: basic(accounts.writer.key),
    admin: basic(accounts.admin.key),
    foreign: basic(accounts.foreign.key),
  };
  return { berth, organization, credentials, accounts, stop: () => berth.stop() };
}

type Accounts = Scene["accounts"];

function giveRoles(berth: Berth, project: string, { viewer, writer, admin }: Accounts): Promise<void> {
  return give(berth, project, [
    ["roles/viewer", viewer],
    ["roles/editor", writer],
    ["roles/owner", admin],
  ]);
}

async function give(berth: Berth, project: string, roles: [string, Account][]): Promise<void> {
  const path = `/v1/projects/${project}`;
  const policy = await mustCall<{ bindings: object[]; etag: string }>(berth, "POST", `${path}:getIamPolicy`, {});
  const added = roles.map(([role, { email }]) => ({ role, members: [`serviceAccount:${email}`] }));
  const bindings = [...policy.bindings, ...added];
  await mustCall(berth, "POST", `${path}:setIamPolicy`, { policy: { ...policy, bindings } });
}

/** A project in which the callers have the same roles as in `my-project`. */
export async function makeProject({ berth, accounts }: Scene, state: "active" | "deleted" = "active"): Promise<string> {
  const project = `p-${id()}`;
  await mustCall(berth, "POST", "/v1/projects", { projectId: project });
  await giveRoles(berth, project, accounts);
  if (state === "deleted") await mustCall(berth, "DELETE", `/v1/projects/${project}`);
  return project;
}

/** What stands at an address now, for a call that writes it again. */
export function read<T = Record<string, unknown>>({ berth }: Scene, method: string, path: string): Promise<T> {
  return mustCall<T>(berth, method, path, ...(method === "POST" ? [{}] : []));
}

export const id = (): string => `x${randomBytes(5).toString("hex")}`;

/** Makes what the variables of a path name, new for each call: `{account}` is an account that nobody has used. */
export async function makeVariables({ berth, organization }: Scene, path: string): Promise<Record<string, string>> {
  const post = <T>(at: string, body: object): Promise<T> => mustCall<T>(berth, "POST", at, body);
  const named = new Set([...path.matchAll(/\{(\w+)/g)].map((match) => match[1] as string));
  const made: Record<string, string> = {
    project: "my-project",
    organization,
    bucket,
    service: "pubsub.googleapis.com",
    object: "containers/repositories/library/app/tag_v1",
    name: repository,
    operation: "done",
    provider: "corp",
    parent: path.includes("/organizations/") ? organization : "my-project",
    role: "storage.admin",
  };
  if (named.has("account")) {
    const { email } = await post<{ email: string }>("/v1/projects/my-project/serviceAccounts", { accountId: id() });
    made.account = email;
    if (named.has("key")) {
      const keys = `/v1/projects/my-project/serviceAccounts/${email}/keys`;
      made.key = (await post<{ name: string }>(keys, {})).name.split("/").at(-1) as string;
    }
    if (path.endsWith(":undelete")) {
      const { uniqueId } = await mustCall<{ uniqueId: string }>(
        berth,
        "GET",
        `/v1/projects/my-project/serviceAccounts/${email}`,
      );
      await mustCall(berth, "DELETE", `/v1/projects/my-project/serviceAccounts/${email}`);
      made.account = uniqueId;
    }
  }
  if (named.has("pool")) {
    const pools = "/v1/projects/my-project/locations/global/workloadIdentityPools";
    made.pool = id();
    await post(`${pools}?workloadIdentityPoolId=${made.pool}`, {});
    if (named.has("provider")) {
      made.provider = id();
      const oidc = { issuerUri: "https://issuer.example.com" };
      const body = { attributeMapping: { "google.subject": "assertion.sub" }, oidc };
      await post(`${pools}/${made.pool}/providers?workloadIdentityPoolProviderId=${made.provider}`, body);
    }
    if (path.endsWith(":undelete")) {
      const child = named.has("provider") ? `/providers/${made.provider}` : "";
      await mustCall(berth, "DELETE", `${pools}/${made.pool}${child}`);
    }
  }
  if (named.has("parent") && named.has("role")) {
    made.role = id();
    const roles = path.includes("/organizations/")
      ? `/v1/organizations/${organization}/roles`
      : "/v1/projects/my-project/roles";
    await post(roles, { roleId: made.role, role: { title: "made", includedPermissions: ["storage.objects.get"] } });
    if (path.endsWith(":undelete")) await mustCall(berth, "DELETE", `${roles}/${made.role}`);
  }
  if (named.has("email")) {
    made.email = `${id()}@example.com`;
    const kind = path.includes("/groups/") ? "groups" : "users";
    await post(`/berth/v1/${kind}`, { email: made.email });
  }
  if (path.startsWith("/v2/{name}")) Object.assign(made, await makeImage(berth));
  return made;
}

async function tagImage(berth: Berth, tag: string): Promise<void> {
  const config = await pushBlob(berth, repository, "{}", "application/octet-stream");
  await pushManifest(berth, repository, { mediaType, config, layers: [] }, tag);
}

async function makeImage(berth: Berth): Promise<Record<string, string>> {
  const config = await pushBlob(berth, repository, JSON.stringify({ made: id() }), "application/octet-stream");
  const blob = await pushBlob(berth, repository, `blob ${id()}`, "application/octet-stream");
  const manifest = await pushManifest(berth, repository, { mediaType, config, layers: [] });
  const upload = await berth.fetch(`/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const location = upload.headers.get("location") ?? "";
  return { reference: manifest.digest, digest: blob.digest, upload: location.split("/").at(-1) as string };
}
