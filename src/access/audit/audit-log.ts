import { run, type Steps } from "../../metadata/statement.ts";
import type { Principal } from "../../names/principals.ts";
import type { ResourceName } from "../../names/resources.ts";
import type { Grant } from "../access-control.ts";
import type { Call } from "../caller.ts";

/** Who changes something and in which call: plain data that goes with each command. */
export interface Actor {
  principal: Principal;
  call: Call;
}

export function actorOf(grant: Grant): Actor {
  return { principal: grant.principal, call: grant.call };
}

/** The audit entry of a change, written in the change's own transaction. */
export function* recordChange(actor: Actor, resource: ResourceName, detail: object, at: number): Steps<void> {
  yield* run(
    `INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail)
     VALUES (?, ?, ?, ?, ?, ?, ?)`,
    at,
    actor.principal,
    actor.call.method,
    resource,
    actor.call.requestId,
    actor.call.clientAddress,
    JSON.stringify(detail),
  );
}
