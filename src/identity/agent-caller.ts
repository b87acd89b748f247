import { type Access, type AccessControl, type Grant, isRefusal } from "../access/access-control.ts";
import type { Caller } from "../access/caller.ts";
import type { ProjectId } from "../names/reference.ts";
import type { Memberships } from "./memberships.ts";
import { agentRole, serviceAgent } from "./service-agent.ts";

interface AgentRooms {
  access: AccessControl;
  memberships: Memberships;
  /** The project's number; `undefined` if there is none. */
  projectNumber(project: ProjectId): Promise<string | undefined>;
}

/**
 * The registry's own work on a project, done as its service agent: through the same door as everybody, so that
 * whoever takes the agent's role away ends it. [Container Registry, "Service account"]
 */
export class ServiceAgents {
  readonly #rooms: AgentRooms;

  constructor(rooms: AgentRooms) {
    this.#rooms = rooms;
  }

  /**
   * The agent's grant, or why it has none: for whoever looks after the project.
   * @param job such as `notifications.publish`, for the audit log
   */
  async authorize(access: Access & { project: ProjectId }, job: string): Promise<Grant | string> {
    const { project, permission } = access;
    const number = await this.#rooms.projectNumber(project);
    if (number === undefined) return `The project ${project} does not exist.`;
    const principal = serviceAgent(number);
    const identities = await this.#rooms.memberships.of(principal);
    const caller: Caller = {
      principal,
      identities,
      keyId: "",
      tokenIds: [],
      delegation: [],
      origins: [],
      bounds: undefined,
      issuedAt: 0,
    };
    const service = "containerregistry.googleapis.com";
    const call = { service, method: `berth.${job}`, clientAddress: "", userAgent: "", requestId: "" };
    const decision = await this.#rooms.access.authorize(caller, [access], call);
    if (!isRefusal(decision)) return decision;
    return (
      `The service agent ${principal.slice("serviceAccount:".length)} lacks the permission ${permission}: ` +
      `give it the role ${agentRole} on the project ${project} again.`
    );
  }
}
