import { basic, type Caller, callerOf } from "../harness/caller.ts";
import { startWithTenants, type TenantServer } from "../harness/tenants.ts";

/** The account of the project `strange-project`, which owns nothing else. */
export const strangerEmail = "stranger@strange-project.iam.gserviceaccount.com";

/** A server with two principals, neither of whom may see what is the other's. */
export interface Rivals {
  berth: TenantServer;
  /** Owns `my-project`. */
  owner: Caller;
  /** Owns `strange-project`. */
  stranger: Caller;
  nobody: Caller;
}

export async function startRivals(args: string[] = []): Promise<Rivals> {
  const berth = await startWithTenants([{ project: "strange-project", owners: [strangerEmail] }], { args });
  const key = berth.keys.get(strangerEmail) as string;
  return {
    berth,
    owner: callerOf(berth),
    stranger: callerOf(berth, { authorization: basic(key) }),
    nobody: callerOf(berth, { authorization: null }),
  };
}
