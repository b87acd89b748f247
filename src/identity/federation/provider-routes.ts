import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../../access/api-route.ts";
import { actorOf } from "../../access/audit/audit-log.ts";
import { ApiError } from "../../http/api-error.ts";
import { checkMapping } from "./attribute-mapping.ts";
import {
  commonChange,
  commonShape,
  doneOperation,
  federationNeeds,
  type FederationRooms,
  lifecycle,
  maskedFields,
  method,
  newId,
  pageReply,
  pageRequest,
  poolsPath,
  projectOf,
  service,
} from "./federation-needs.ts";
import { readJwks } from "./issuer-keys.ts";
import { findPool, undeleteDays, unknownPool } from "./pools.ts";
import {
  createProvider,
  findProvider,
  listProviders,
  type Provider,
  type ProviderChange,
  providerPath,
  setProviderDeleted,
  unknownProvider,
  updateProvider,
} from "./providers.ts";

const all = `${poolsPath}/{pool}/providers`;
const one = `${all}/{provider}`;
const maxAudiences = 10;
const maxJwks = 64 * 1024;

const shape = z.strictObject({
  ...commonShape,
  attributeMapping: z.record(z.string(), z.string()).optional(),
  attributeCondition: z.string().optional(),
  oidc: z
    .strictObject({
      issuerUri: z.string().max(2000).optional(),
      allowedAudiences: z.array(z.string().min(1).max(256)).max(maxAudiences).optional(),
      jwksJson: z.string().max(maxJwks).optional(),
    })
    .optional(),
});

/** Who vouches for identities of a pool. [IAM API v1, projects.locations.workloadIdentityPools.providers] */
export function poolProviderRoutes(rooms: FederationRooms): ApiRoute[] {
  const { database } = rooms;
  const needs = federationNeeds(rooms);
  return [
    apiRoute({
      id: method("CreateWorkloadIdentityPoolProvider"),
      service,
      method: "POST",
      path: all,
      body: shape,
      needs: needs("PoolProviders", "create"),
      async handle(call, grant) {
        const { oidc } = call.body;
        const values = {
          ...(commonChange(["displayName", "description", "disabled"], call.body) as Required<
            ReturnType<typeof commonChange>
          >),
          issuer: oidc?.issuerUri ?? "",
          audiences: JSON.stringify(oidc?.allowedAudiences ?? []),
          jwks: oidc?.jwksJson ?? null,
          mapping: JSON.stringify(call.body.attributeMapping ?? {}),
          condition: call.body.attributeCondition ?? "",
        };
        const id = newId(call, "workloadIdentityPoolProviderId");
        await checkValues(values);
        const project = await projectOf(rooms, call);
        const pool = call.path.pool as string;
        const actor = actorOf(requireGrant(grant));
        return operation(await database.write(createProvider, { project, pool, id, values, actor, now: call.now }));
      },
    }),
    apiRoute({
      id: method("ListWorkloadIdentityPoolProviders"),
      service,
      method: "GET",
      path: all,
      needs: needs("PoolProviders", "list"),
      async handle(call) {
        const page = pageRequest(call);
        const project = await projectOf(rooms, call);
        const pool = call.path.pool as string;
        if ((await database.read(findPool(project, pool))) === undefined) throw unknownPool(pool);
        const found = await database.read(listProviders(project, pool, page));
        return pageReply(found, page.size, "workloadIdentityPoolProviders", viewProvider, ({ id }) => id);
      },
    }),
    apiRoute({
      id: method("GetWorkloadIdentityPoolProvider"),
      service,
      method: "GET",
      path: one,
      needs: needs("PoolProviders", "get"),
      handle: async (call) => viewProvider(await requireFound(rooms, call)),
    }),
    apiRoute({
      id: method("UpdateWorkloadIdentityPoolProvider"),
      service,
      method: "PATCH",
      path: one,
      body: shape,
      needs: needs("PoolProviders", "update"),
      async handle(call, grant) {
        const provider = await requireFound(rooms, call);
        const change = changeOf(call, call.body);
        await checkValues({ ...valuesOf(provider), ...change });
        const { project, pool } = provider.pool;
        const { id } = provider;
        const actor = actorOf(requireGrant(grant));
        return operation(await database.write(updateProvider, { project, pool, id, change, actor, now: call.now }));
      },
    }),
    ...(["delete", "undelete"] as const).map((verb) =>
      apiRoute({
        id: method(verb === "delete" ? "DeleteWorkloadIdentityPoolProvider" : "UndeleteWorkloadIdentityPoolProvider"),
        service,
        method: verb === "delete" ? "DELETE" : "POST",
        path: verb === "delete" ? one : `${one}:undelete`,
        ...(verb === "delete" ? {} : { body: z.object({}) }),
        needs: needs("PoolProviders", verb),
        async handle(call, grant) {
          const { pool: name, id } = await requireFound(rooms, call);
          const { project, pool } = name;
          const change = { project, pool, id, deleted: verb === "delete" };
          const actor = actorOf(requireGrant(grant));
          return operation(await database.write(setProviderDeleted, { ...change, actor, now: call.now }));
        },
      }),
    ),
    apiRoute({
      id: method("GetProviderOperation"),
      service,
      method: "GET",
      path: `${one}/operations/{operation}`,
      needs: needs("PoolProviders", "get"),
      handle: async (call) => operation(await requireFound(rooms, call)),
    }),
  ];
}

/** @throws ApiError NOT_FOUND */
async function requireFound(rooms: FederationRooms, call: ApiCall): Promise<Provider> {
  const { pool, provider: id } = call.path as { pool: string; provider: string };
  const provider = await rooms.database.read(findProvider(await projectOf(rooms, call), pool, id));
  if (provider === undefined) throw unknownProvider(id);
  return provider;
}

/** A mask names `oidc` as a whole or one of its fields. */
function changeOf(call: ApiCall, body: z.infer<typeof shape>): ProviderChange {
  const fields = maskedFields(call, body);
  const takes = (field: string): boolean => fields.includes("oidc") || fields.includes(`oidc.${field}`);
  const { oidc, attributeMapping, attributeCondition } = body;
  return {
    ...commonChange(fields, body),
    ...(fields.some((field) => field.split(".")[0] === "attributeMapping") && {
      mapping: JSON.stringify(attributeMapping ?? {}),
    }),
    ...(fields.includes("attributeCondition") && { condition: attributeCondition ?? "" }),
    ...(takes("issuerUri") && { issuer: oidc?.issuerUri ?? "" }),
    ...(takes("allowedAudiences") && { audiences: JSON.stringify(oidc?.allowedAudiences ?? []) }),
    ...(takes("jwksJson") && { jwks: oidc?.jwksJson ?? null }),
  };
}

interface CheckedValues {
  issuer: string;
  mapping: string;
  condition: string;
  jwks: string | null;
}

function valuesOf({ issuer, mapping, condition, jwks }: Provider): CheckedValues {
  return { issuer, mapping: JSON.stringify(mapping), condition, jwks: jwks ?? null };
}

/** Before it is kept: what a token exchange would stumble over. @throws ApiError INVALID_ARGUMENT */
async function checkValues({ issuer, mapping, condition, jwks }: CheckedValues): Promise<void> {
  const url = URL.parse(issuer);
  const isPlain = url !== null && url.username === "" && url.search === "" && url.hash === "";
  if (!isPlain || !["https:", "http:"].includes(url.protocol)) {
    throw new ApiError(
      "INVALID_ARGUMENT",
      "oidc.issuerUri: expected the issuer's address, https://…, without a query.",
    );
  }
  await checkMapping(issuer, JSON.parse(mapping) as Record<string, string>, condition);
  if (jwks === null) return;
  try {
    readJwks(JSON.parse(jwks));
  } catch {
    throw new ApiError("INVALID_ARGUMENT", 'oidc.jwksJson: expected a JSON Web Key Set, {"keys": […]}.');
  }
}

function operation(provider: Provider): object {
  return doneOperation(providerPath(provider), "WorkloadIdentityPoolProvider", viewProvider(provider));
}

function viewProvider(provider: Provider): object {
  const { displayName, description, mapping, condition, issuer, audiences, jwks } = provider;
  return {
    name: providerPath(provider),
    ...(displayName !== "" && { displayName }),
    ...(description !== "" && { description }),
    ...lifecycle(provider, undeleteDays),
    attributeMapping: mapping,
    ...(condition !== "" && { attributeCondition: condition }),
    oidc: {
      issuerUri: issuer,
      ...(audiences.length > 0 && { allowedAudiences: audiences }),
      ...(jwks !== undefined && { jwksJson: jwks }),
    },
  };
}
