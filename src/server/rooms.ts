import { AccessControl } from "../access/access-control.ts";
import { auditRoutes } from "../access/audit/audit-routes.ts";
import { AuditJournal } from "../access/audit/journal.ts";
import { roleRoutes } from "../access/iam/role-routes.ts";
import { RequestQuota } from "../http/request-quota.ts";
import { Roles } from "../access/iam/roles.ts";
import { Policies, readPolicy } from "../access/policies.ts";
import { allAuthenticatedUsers, allUsers, type Member } from "../names/members.ts";
import { organizationResource, type ResourceName } from "../names/resources.ts";
import type { BlobStore } from "../blobs/blob-store.ts";
import { AccessTokens } from "../identity/access-tokens.ts";
import { accountPolicyRoutes } from "../identity/account-policies.ts";
import { accountRoutes } from "../identity/account-routes.ts";
import { credentialsRoutes } from "../identity/credentials-routes.ts";
import { IssuerKeys } from "../identity/federation/issuer-keys.ts";
import { poolRoutes } from "../identity/federation/pool-routes.ts";
import { poolProviderRoutes } from "../identity/federation/provider-routes.ts";
import { stsRoutes } from "../identity/federation/sts-routes.ts";
import { groupRoutes } from "../identity/group-routes.ts";
import { userRoutes } from "../identity/people-routes.ts";
import { ProviderClient } from "../identity/oidc-providers.ts";
import { providerRoutes } from "../identity/provider-routes.ts";
import { oauthRoutes } from "../identity/oauth-routes.ts";
import { Authenticator } from "../identity/authenticator.ts";
import { RegistryTokens } from "../identity/registry-tokens.ts";
import { Memberships } from "../identity/memberships.ts";
import { ownNames } from "../identity/own-names.ts";
import { OwnTokens } from "../identity/own-tokens.ts";
import { signInRoutes } from "../identity/sign-in-routes.ts";
import { SignInThrottle } from "../identity/sign-in-throttle.ts";
import { Standing } from "../identity/standing.ts";
import { ContentCache } from "../images/content-cache.ts";
import { SigningKeys } from "../keys/signing-keys.ts";
import type { Database } from "../metadata/database.ts";
import { Freshness } from "../metadata/freshness.ts";
import { assetRoutes } from "../projects/storage/asset-search.ts";
import { notificationRoutes } from "../notifications/notification-routes.ts";
import { bucketPolicyRoutes } from "../projects/storage/bucket-policies.ts";
import { bucketRoutes } from "../projects/storage/buckets.ts";
import { objectRoutes } from "../projects/storage/objects.ts";
import { billingRoutes } from "../projects/billing.ts";
import { MemberDirectory } from "../projects/member-directory.ts";
import { projectFinder } from "../projects/find-project.ts";
import { Projects } from "../projects/projects.ts";
import { Registries } from "../projects/registries.ts";
import { serviceUsageRoutes } from "../projects/service-usage.ts";
import { resourceManagerRoutes } from "../projects/resource-manager.ts";
import type { RegistryRooms } from "../registry/context.ts";
import { Hosts } from "../registry/hosts.ts";
import { boundsOf } from "../registry/scopes.ts";
import { readFileSync } from "node:fs";
import { Egress } from "../egress/egress.ts";
import { proxyFromEnvironment } from "../egress/proxies.ts";
import { Api } from "./api.ts";
import type { Settings } from "./options.ts";
import { openProvider } from "./sign-in-providers.ts";

/** What one process answers requests with. */
export interface Rooms {
  registry: RegistryRooms;
  api: Api;
  journal: AuditJournal;
  quota: RequestQuota;
  throttle: SignInThrottle;
}

/** The guarded way out, as it is configured. */
export function openEgress({ egressAllow, egressCa }: Settings): Egress {
  return new Egress({
    allow: egressAllow,
    proxy: proxyFromEnvironment(process.env),
    ca: egressCa === undefined ? undefined : readFileSync(egressCa, "utf8"),
  });
}

interface Access {
  freshness: Freshness;
  projects: Projects;
  memberships: Memberships;
  roles: Roles;
  journal: AuditJournal;
  access: AccessControl;
}

/** The one door, for requests as for the registry's own work. */
export function openAccess(database: Database): Access {
  const freshness = new Freshness(database);
  const projects = new Projects(database, freshness);
  const memberships = new Memberships(database, freshness);
  const journal = new AuditJournal(database, Date.now);
  const roles = new Roles(database, freshness);
  const access = new AccessControl({
    policies: new Policies(database, freshness),
    roles,
    hierarchy: projects,
    journal,
    freshness,
    now: Date.now,
  });
  return { freshness, projects, memberships, roles, journal, access };
}

/** Puts the rooms together. The one place that knows which implementation stands where. */
export function openRooms(
  settings: Settings,
  database: Database,
  stores: ReadonlyMap<string, BlobStore>,
  issuer: string,
): Rooms {
  const { freshness, projects, memberships, roles, journal, access } = openAccess(database);
  const signingKeys = new SigningKeys(database, freshness);
  const ownTokens = new OwnTokens(signingKeys);
  const tokens = new RegistryTokens(ownTokens);
  const accessTokens = new AccessTokens(ownTokens);
  const standing = new Standing(database, freshness);
  const throttle = new SignInThrottle(Date.now);
  const hosts = new Hosts(
    settings.hosts.map(({ name, store }) => ({ name, store, readOnly: false })),
    settings.protectReferenced,
  );
  const isOwnName = ownNames(
    issuer,
    hosts.all().map(({ name }) => name),
  );
  const authenticator = new Authenticator({
    standing,
    memberships,
    registryTokens: tokens,
    accessTokens,
    freshness,
    boundsOf,
    isOwnName,
    throttle,
    now: Date.now,
  });
  const registries = new Registries(database, freshness);
  const directory = new MemberDirectory(database, projects);
  const policyRooms = {
    database,
    access,
    roles,
    memberExists: (member: string) => directory.exists(member),
    isSomebody: (member: string) => directory.isSomebody(member),
  };
  const findHost = (name: string) => hosts.all().find((host) => host.name === name);
  const findProject = projectFinder(projects);
  const egress = openEgress(settings);
  const providers = settings.signInProviders.map(
    (provider) => new ProviderClient(openProvider(provider), egress, Date.now),
  );
  const providerNames = providers.map(({ provider }) => provider.name);
  const signInRooms = { database, access, ownTokens, throttle, providerNames };
  const administered = async (member: Member): Promise<ResourceName | undefined> => {
    const resource = organizationResource(await projects.organization());
    // What everybody has makes nobody an administrator.
    const identities = (await memberships.of(member)).difference(new Set([allUsers, allAuthenticatedUsers]));
    const bindings = (await database.read(readPolicy(resource)))?.bindings ?? [];
    for (const { role, members } of bindings) {
      if (members.some((each) => identities.has(each)) && (await roles.administers(role))) return resource;
    }
    return undefined;
  };
  const peopleRooms = { database, access, throttle, organization: () => projects.organization(), administered };
  const accountRooms = { database, findProject, issuer, administered };
  const storageRooms = { ...policyRooms, projects, registries, findHost };
  const cache = new ContentCache(settings.cacheSize);
  const routes = [
    ...oauthRoutes({ standing, accessTokens, signingKeys, issuer, isOwnName, database, authenticator }),
    ...auditRoutes({
      database,
      findProject,
      projectCreatedAt: async (project) => (await projects.find(project))?.createdAt ?? 0,
      organization: () => projects.organization(),
      flush: () => journal.flush(),
    }),
    ...roleRoutes({ database, findProject }),
    ...accountRoutes(accountRooms),
    ...accountPolicyRoutes({ ...policyRooms, ...accountRooms }, () => projects.organization()),
    ...credentialsRoutes({ ...accountRooms, access, memberships, standing, accessTokens, signingKeys }),
    ...stsRoutes({
      database,
      standing,
      accessTokens,
      authenticator,
      findProject,
      issuerKeys: new IssuerKeys(egress, Date.now),
    }),
    ...poolRoutes({ database, findProject }),
    ...poolProviderRoutes({ database, findProject }),
    ...resourceManagerRoutes({ ...policyRooms, projects }),
    ...signInRoutes(signInRooms),
    ...providerRoutes({ ...signInRooms, providers, issuer }),
    ...userRoutes(peopleRooms),
    ...groupRoutes(peopleRooms),
    ...notificationRoutes({ database, findProject, isOn: settings.pubsubEndpoint !== undefined }),
    ...billingRoutes({ projects }),
    ...serviceUsageRoutes({ database, projects }),
    ...bucketRoutes(storageRooms),
    ...assetRoutes(storageRooms),
    ...bucketPolicyRoutes(storageRooms),
    ...objectRoutes({ ...storageRooms, stores, cache }),
  ];
  const api = new Api(routes, { freshness, authenticator, access, now: Date.now });
  const registry: RegistryRooms = {
    freshness,
    database,
    stores,
    cache,
    limits: {
      manifestSize: settings.manifestSize,
      uploadSize: settings.uploadSize,
      openUploads: settings.openUploads,
      allowMissingBlobs: settings.allowMissingBlobs,
    },
    now: Date.now,
    access,
    authenticator,
    tokens,
    projects,
    registries,
    hosts,
  };
  return { registry, api, journal, quota: new RequestQuota(settings.requestQuota, Date.now), throttle };
}
