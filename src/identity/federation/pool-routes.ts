import { z } from "zod";
import { type ApiCall, type ApiRoute, apiRoute, requireGrant } from "../../access/api-route.ts";
import { actorOf } from "../../access/audit/audit-log.ts";
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
import { poolPath } from "./pool-names.ts";
import {
  createPool,
  findPool,
  listPools,
  type Pool,
  setPoolDeleted,
  undeleteDays,
  unknownPool,
  updatePool,
} from "./pools.ts";

const one = `${poolsPath}/{pool}`;
const shape = z.strictObject(commonShape);

/** Pools of identities that others vouch for. [IAM API v1, projects.locations.workloadIdentityPools] */
export function poolRoutes(rooms: FederationRooms): ApiRoute[] {
  const { database } = rooms;
  const needs = federationNeeds(rooms);
  return [
    apiRoute({
      id: method("CreateWorkloadIdentityPool"),
      service,
      method: "POST",
      path: poolsPath,
      body: shape,
      needs: needs("Pools", "create"),
      async handle(call, grant) {
        const { displayName = "", description = "", disabled = false } = call.body;
        const values = { displayName, description, disabled };
        const change = { project: await projectOf(rooms, call), pool: newId(call, "workloadIdentityPoolId") };
        const actor = actorOf(requireGrant(grant));
        return operation(await database.write(createPool, { ...change, ...values, actor, now: call.now }));
      },
    }),
    apiRoute({
      id: method("ListWorkloadIdentityPools"),
      service,
      method: "GET",
      path: poolsPath,
      needs: needs("Pools", "list"),
      async handle(call) {
        const page = pageRequest(call);
        const found = await database.read(listPools(await projectOf(rooms, call), page));
        return pageReply(found, page.size, "workloadIdentityPools", viewPool, ({ name }) => name.pool);
      },
    }),
    apiRoute({
      id: method("GetWorkloadIdentityPool"),
      service,
      method: "GET",
      path: one,
      needs: needs("Pools", "get"),
      handle: async (call) => viewPool(await requireFound(rooms, call)),
    }),
    apiRoute({
      id: method("UpdateWorkloadIdentityPool"),
      service,
      method: "PATCH",
      path: one,
      body: shape,
      needs: needs("Pools", "update"),
      async handle(call, grant) {
        const change = commonChange(maskedFields(call, call.body), call.body);
        const { name } = await requireFound(rooms, call);
        const actor = actorOf(requireGrant(grant));
        const { project, pool } = name;
        return operation(await database.write(updatePool, { project, pool, change, actor, now: call.now }));
      },
    }),
    ...(["delete", "undelete"] as const).map((verb) =>
      apiRoute({
        id: method(verb === "delete" ? "DeleteWorkloadIdentityPool" : "UndeleteWorkloadIdentityPool"),
        service,
        method: verb === "delete" ? "DELETE" : "POST",
        path: verb === "delete" ? one : `${one}:undelete`,
        ...(verb === "delete" ? {} : { body: z.object({}) }),
        needs: needs("Pools", verb),
        async handle(call, grant) {
          const { project, pool } = (await requireFound(rooms, call)).name;
          const change = { project, pool, deleted: verb === "delete" };
          const actor = actorOf(requireGrant(grant));
          return operation(await database.write(setPoolDeleted, { ...change, actor, now: call.now }));
        },
      }),
    ),
    // Terraform asks with each look at a pool. Pools here hold no managed identities, to which such rules apply.
    apiRoute({
      id: method("ListAttestationRules"),
      service,
      method: "GET",
      path: `${one}:listAttestationRules`,
      needs: needs("Pools", "get"),
      async handle(call) {
        await requireFound(rooms, call);
        return {};
      },
    }),
    apiRoute({
      id: method("GetOperation"),
      service,
      method: "GET",
      path: `${one}/operations/{operation}`,
      needs: needs("Pools", "get"),
      handle: async (call) => operation(await requireFound(rooms, call)),
    }),
  ];
}

/** @throws ApiError NOT_FOUND */
async function requireFound(rooms: FederationRooms, call: ApiCall): Promise<Pool> {
  const id = call.path.pool as string;
  const pool = await rooms.database.read(findPool(await projectOf(rooms, call), id));
  if (pool === undefined) throw unknownPool(id);
  return pool;
}

function operation(pool: Pool): object {
  return doneOperation(poolPath(pool.name), "WorkloadIdentityPool", viewPool(pool));
}

function viewPool(pool: Pool): object {
  const { name, displayName, description } = pool;
  return {
    name: poolPath(name),
    ...(displayName !== "" && { displayName }),
    ...(description !== "" && { description }),
    ...lifecycle(pool, undeleteDays),
  };
}
