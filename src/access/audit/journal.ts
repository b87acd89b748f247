import { LRUCache } from "lru-cache";
import type { Database } from "../../metadata/database.ts";
import { clientNetwork } from "../../http/client-network.ts";
import { anonymous } from "../../names/principals.ts";
import type { ResourceName } from "../../names/resources.ts";
import type { Access, Refusal } from "../access-control.ts";
import type { Call, Caller } from "../caller.ts";
import { type Actor, actorFor, type AuditEntry, recordEntries } from "./audit-log.ts";

/** How often the entries go to the database, in ms. */
const flushEach = 5000;
/** Different reads kept between two flushes, and four times as many denials; what comes beyond is counted in one entry. */
export const maxPending = 1000;

/**
 * Different denials of one caller, of all unknown ones of one network together: so many at once, and then one each so many ms. What comes
 * beyond is counted in one entry, at most each minute: whoever asks for ever new names is a thousand rows and then ten
 * thousand a day, some megabytes, however fast.
 */
export const denialsAtOnce = 1000;
const denialEach = 10_000;
const overflowEach = 60_000;
const maxCallers = 1000;

/** What a caller may still have written. */
interface Budget {
  left: number;
  at: number;
}

/**
 * The audit of calls that change nothing: denials, and reads where a project asks for them. It takes no write per
 * call: equal ones are counted, and all go into the database together. A stranger that is refused a million times
 * costs a row each five seconds.
 */
export class AuditJournal {
  readonly #database: Database;
  readonly #now: () => number;
  #pending = new Map<string, AuditEntry>();
  /** Counts what there was no room for, since when. */
  readonly #overflows = new Map<string, { entry: AuditEntry; since: number }>();
  readonly #budgets = new LRUCache<string, Budget>({ max: maxCallers });
  readonly #counts = new Map<AuditEntry["log"], number>();
  #timer: Timer | undefined;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  denied(caller: Caller, access: Access, call: Call, refused: Refusal["refused"]): void {
    this.#note("policy", caller, access, call, { refused });
  }

  /** @param secret what kind it was: of whom it was to be is not known */
  credentialRefused(call: Call, secret: string): void {
    const actor = { principal: anonymous, keyId: "", delegation: [], call, accesses: [] };
    this.#noteEntry("policy", actor, `//berth/signIn`, { refused: "credential", secret });
  }

  read(caller: Caller, access: Access, call: Call): void {
    this.#note("data_access", caller, access, call, {});
  }

  /** Writes what there is. An error leaves it to the next time. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#takeOverflows(true);
    await this.#write();
  }

  async #write(): Promise<void> {
    const entries = [...this.#pending.values()];
    if (entries.length === 0) return;
    this.#pending = new Map();
    this.#counts.clear();
    try {
      await this.#database.write(recordEntries, entries);
    } catch (error) {
      for (const entry of entries) this.#merge(keyOf(entry), entry, true);
      throw error;
    }
  }

  #note(log: AuditEntry["log"], caller: Caller, access: Access, call: Call, detail: object): void {
    this.#noteEntry(log, actorFor(caller, [access], call), access.resource, detail);
  }

  #noteEntry(log: AuditEntry["log"], actor: Actor, resource: ResourceName, detail: object): void {
    const at = this.#now();
    const entry = {
      log,
      actor,
      resource,
      detail,
      granted: log !== "policy",
      at,
      count: 1,
      firstAt: at,
    };
    const key = keyOf(entry);
    this.#merge(key, entry, this.#pending.has(key) || this.#hasRoom(entry));
    this.#arm();
  }

  #arm(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      void this.#flushDue().catch(() => {});
    }, flushEach).unref();
  }

  /** As `flush`, but that counts of what there was no room for wait for their minute. */
  async #flushDue(): Promise<void> {
    this.#takeOverflows(false);
    if (this.#overflows.size > 0) this.#arm();
    await this.#write();
  }

  #takeOverflows(all: boolean): void {
    for (const [key, { entry, since }] of this.#overflows) {
      if (!all && this.#now() - since < overflowEach) continue;
      this.#overflows.delete(key);
      this.#pending.set(key, entry);
    }
  }

  #merge(key: string, entry: AuditEntry, hasRoom: boolean): void {
    const known = hasRoom ? this.#pending.get(key) : this.#overflow(entry);
    if (known === undefined) {
      this.#pending.set(key, entry);
      this.#counts.set(entry.log, this.#pendingOf(entry.log) + 1);
      return;
    }
    known.count += entry.count;
    known.at = Math.max(known.at, entry.at);
    known.firstAt = Math.min(known.firstAt, entry.firstAt);
  }

  #hasRoom({ log, actor, at }: AuditEntry): boolean {
    if (log !== "policy") return this.#pendingOf(log) < maxPending;
    if (this.#pendingOf(log) >= 4 * maxPending) return false;
    // Strangers are told apart by where they are: a flood from elsewhere hides nobody who guesses.
    const who = actor.principal === anonymous ? clientNetwork(actor.call.clientAddress) : actor.principal;
    const before = this.#budgets.get(who) ?? { left: denialsAtOnce, at };
    const left = Math.min(denialsAtOnce, before.left + (at - before.at) / denialEach);
    this.#budgets.set(who, { left: Math.max(left - 1, left < 1 ? left : 0), at });
    return left >= 1;
  }

  /** Each log has its own room: what fills one crowds nothing out of the others. */
  #pendingOf(log: AuditEntry["log"]): number {
    return this.#counts.get(log) ?? 0;
  }

  /** The entry for those that there is no room for. */
  #overflow(entry: AuditEntry): AuditEntry {
    const key = `more ${entry.log}`;
    const known = this.#overflows.get(key);
    if (known !== undefined) return known.entry;
    const call = { ...entry.actor.call, method: "various", clientAddress: "", userAgent: "", requestId: "" };
    const actor = { principal: "", keyId: "", delegation: [], call, accesses: [] };
    const detail = { ...entry.detail, more: "too many different ones" };
    const made = { ...entry, actor, resource: "", detail, count: 0 };
    this.#overflows.set(key, { entry: made, since: entry.at });
    return made;
  }
}

/** What makes two entries equal. */
function keyOf({ log, actor, resource }: AuditEntry): string {
  const { principal, keyId, call, accesses } = actor;
  const permissions = accesses.map(({ permission }) => permission).join(" ");
  return [log, principal, keyId, call.service, call.method, call.clientAddress, permissions, resource].join("\n");
}
