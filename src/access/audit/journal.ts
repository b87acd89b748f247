import type { Database } from "../../metadata/database.ts";
import type { Access, Refusal } from "../access-control.ts";
import type { Call, Caller } from "../caller.ts";
import { actorFor, type AuditEntry, recordEntries } from "./audit-log.ts";

/** How often the entries go to the database, in ms. */
const flushEach = 5000;
/** Different entries kept between two flushes; what comes beyond is counted in one entry. */
export const maxPending = 1000;

/**
 * The audit of calls that change nothing: denials, and reads where a project asks for them. It takes no write per
 * call: equal ones are counted, and all go into the database together. A stranger that is refused a million times
 * costs a row each five seconds.
 */
export class AuditJournal {
  readonly #database: Database;
  readonly #now: () => number;
  #pending = new Map<string, AuditEntry>();
  #timer: Timer | undefined;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  denied(caller: Caller, access: Access, call: Call, refused: Refusal["refused"]): void {
    this.#note("policy", caller, access, call, { refused });
  }

  read(caller: Caller, access: Access, call: Call): void {
    this.#note("data_access", caller, access, call, {});
  }

  /** Writes what there is. An error leaves it to the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const entries = [...this.#pending.values()];
    if (entries.length === 0) return;
    this.#pending = new Map();
    try {
      await this.#database.write(recordEntries, entries);
    } catch (error) {
      for (const entry of entries) this.#add(keyOf(entry), entry);
      throw error;
    }
  }

  #note(log: AuditEntry["log"], caller: Caller, access: Access, call: Call, detail: object): void {
    const at = this.#now();
    const actor = actorFor(caller, [access], call);
    const entry = {
      log,
      actor,
      resource: access.resource,
      detail,
      granted: log !== "policy",
      at,
      count: 1,
      firstAt: at,
    };
    this.#add(keyOf(entry), entry);
    this.#timer ??= setTimeout(() => void this.flush().catch(() => {}), flushEach).unref();
  }

  #add(key: string, entry: AuditEntry): void {
    const known = this.#pending.get(key) ?? (this.#pending.size < maxPending ? undefined : this.#overflow(entry));
    if (known === undefined) {
      this.#pending.set(key, entry);
      return;
    }
    known.count += entry.count;
    known.at = Math.max(known.at, entry.at);
    known.firstAt = Math.min(known.firstAt, entry.firstAt);
  }

  /** The entry for those that there is no room for. */
  #overflow(entry: AuditEntry): AuditEntry {
    const key = `more ${entry.log}`;
    let known = this.#pending.get(key);
    if (known === undefined) {
      const call = { ...entry.actor.call, method: "various", clientAddress: "", userAgent: "", requestId: "" };
      const actor = { principal: "", keyId: "", delegation: [], call, accesses: [] };
      known = { ...entry, actor, resource: "", detail: { more: "too many different ones at once" }, count: 0 };
      this.#pending.set(key, known);
    }
    return known;
  }
}

/** What makes two entries equal. */
function keyOf({ log, actor, resource }: AuditEntry): string {
  const { principal, keyId, call, accesses } = actor;
  const permissions = accesses.map(({ permission }) => permission).join(" ");
  return [log, principal, keyId, call.service, call.method, call.clientAddress, permissions, resource].join("\n");
}
