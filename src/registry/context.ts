import type { AccessControl } from "../access/access-control.ts";
import type { Call } from "../access/caller.ts";
import type { IdleLimit } from "../http/body.ts";
import type { Authenticator, Identity } from "../identity/authenticator.ts";
import type { RegistryTokens } from "../identity/registry-tokens.ts";
import type { ImageStores } from "../images/repository.ts";
import type { Projects } from "../projects/projects.ts";
import type { Registries } from "../projects/registries.ts";
import type { Freshness } from "../metadata/freshness.ts";
import type { Hosts, RequestedHost } from "./hosts.ts";

/** The rooms that the registry stands on. */
export interface RegistryRooms extends ImageStores {
  freshness: Freshness;
  access: AccessControl;
  authenticator: Authenticator;
  tokens: RegistryTokens;
  projects: Projects;
  registries: Registries;
  hosts: Hosts;
}

/** One request as it came in, before anybody knows who asks. */
export interface Incoming {
  request: Request;
  /** As it was sent, percent signs and all, without the query. */
  path: string;
  query: URLSearchParams;
  /** `https` or `http`, as the client sees it. */
  scheme: string;
  /** The Host that the client asked for, with its port. */
  host: string;
  clientAddress: string;
  requestId: string;
  idle: IdleLimit;
  /** What the log and the metrics will say of the request. */
  notes: RequestNotes;
}

export interface RequestNotes {
  route: string;
  principal: string;
  repository: string;
  /** Bytes of the body received, where it is not kept in memory. */
  received: number;
  /** Bytes of the content that the reply offers; fewer are sent where the client goes away. */
  sent: number;
}

/** A request whose caller is known. */
export interface RegistryCall extends Incoming {
  rooms: RegistryRooms;
  requested: RequestedHost;
  identity: Identity;
  call: Call;
}
