import { command, type Database } from "../metadata/database.ts";
import { first, run, type Steps } from "../metadata/statement.ts";

/** The right to do a piece of background work, held by one server of those that share a database. */
export interface Lease {
  name: string;
  /** Each holder's is higher than the one's before. */
  fence: number;
}

/** Another server has the lease by now: what was to be committed under it is not. */
export class LeaseLostError extends Error {
  override readonly name = "LeaseLostError";
}

/** Part of every command that is done under a lease. `undefined`: the server is the only one. @throws LeaseLostError */
export function* requireLease(lease: Lease | undefined): Steps<void> {
  if (lease === undefined) return;
  const held = yield* first("SELECT name FROM leases WHERE name = ? AND fence = ?", lease.name, lease.fence);
  if (held === undefined) throw new LeaseLostError(`the lease ${lease.name} is another server's by now`);
}

interface LeaseState {
  fence: number;
  beat: number;
}

type Taking = { name: string; holder: string; seen: LeaseState | undefined };

/**
 * Takes a lease that nobody holds, that this server held before, or whose holder has not moved `beat` since it was
 * `seen`; else answers its state. Nobody's clock is compared with another's: who waits counts its own seconds.
 */
export const takeLease = command(
  "operations.takeLease",
  function* ({ name, holder, seen }: Taking): Steps<{ lease: Lease } | { state: LeaseState }> {
    yield* run(
      "INSERT INTO leases (name, holder, fence, beat) VALUES (?, '', 0, 0) ON CONFLICT (name) DO NOTHING",
      name,
    );
    const row = (yield* first<LeaseState & { holder: string }>(
      "SELECT holder, fence, beat FROM leases WHERE name = ?",
      name,
    )) as LeaseState & { holder: string };
    const isFree = row.holder === "" || row.holder === holder;
    const isStill = seen !== undefined && seen.fence === row.fence && seen.beat === row.beat;
    if (!isFree && !isStill) return { state: { fence: row.fence, beat: row.beat } };
    const fence = row.fence + 1;
    yield* run("UPDATE leases SET holder = ?, fence = ?, beat = 0 WHERE name = ?", holder, fence, name);
    return { lease: { name, fence } };
  },
  ({ name }) => `lease ${name}`,
);

/** Shows the others that the holder lives. Answers whether the lease is still its own. */
export const renewLease = command(
  "operations.renewLease",
  function* ({ name, fence }: Lease): Steps<boolean> {
    const sql = "UPDATE leases SET beat = beat + 1 WHERE name = ? AND fence = ? RETURNING name";
    return (yield* first(sql, name, fence)) !== undefined;
  },
  ({ name }) => `lease ${name}`,
);

/** Gives a lease back, so that nobody has to wait. */
export const giveUpLease = command(
  "operations.giveUpLease",
  function* ({ name, fence }: Lease): Steps<void> {
    yield* run("UPDATE leases SET holder = '' WHERE name = ? AND fence = ?", name, fence);
  },
  ({ name }) => `lease ${name}`,
);

/** How often a holder renews and the others look, in ms. */
const beatEach = 2000;
/** How long a holder that cannot renew goes on, and how long the others wait for one that does not. In ms. */
const goesOn = 8000;
const waits = 13_000;

/** Work that goes on until it is stopped. */
type Stop = () => void | Promise<void>;
type Work = (lease: Lease | undefined) => Stop | Promise<Stop>;

interface LeasesOptions {
  database: Database;
  /** Of this server, and of no other. */
  holder: string;
  /** Whether no other server can have the database: then nothing has to be held. */
  isAlone: boolean;
  log: Record<"info" | "error", (fields: object, message: string) => void>;
}

/** Pieces of background work, each of which one server does at a time. */
export class Leases {
  readonly #options: LeasesOptions;
  readonly #shifts: Shift[] = [];

  constructor(options: LeasesOptions) {
    this.#options = options;
  }

  /** Does the work while this server holds the lease; resolves once that is known for now. */
  async whileHeld(name: string, work: Work): Promise<void> {
    const shift = new Shift(name, work, this.#options);
    this.#shifts.push(shift);
    await shift.start();
  }

  async stop(): Promise<void> {
    await Promise.all(this.#shifts.map((shift) => shift.end()));
  }
}

interface Held {
  lease: Lease | undefined;
  stop: Stop;
  /** Ends the work of a holder that does not get to renew. */
  deadline: Timer | undefined;
}

class Shift {
  readonly #name: string;
  readonly #work: Work;
  readonly #options: LeasesOptions;
  #held: Held | undefined;
  /** The state of another's lease, and since when it is unchanged. */
  #seen: (LeaseState & { since: number }) | undefined;
  #timer: Timer | undefined;
  #beating: Promise<void> | undefined;
  /** The end of work that was given up and may still be sending: nothing new begins before. */
  #finishing: Promise<void> | undefined;
  #ended = false;

  constructor(name: string, work: Work, options: LeasesOptions) {
    this.#name = name;
    this.#work = work;
    this.#options = options;
  }

  async start(): Promise<void> {
    if (this.#options.isAlone) return this.#begin(undefined, 0);
    await this.#beat();
    this.#timer = setInterval(() => void this.#beat(), beatEach);
  }

  async end(): Promise<void> {
    this.#ended = true;
    clearInterval(this.#timer);
    await this.#beating;
    const lease = this.#held?.lease;
    await this.#finish();
    if (lease !== undefined) await this.#options.database.write(giveUpLease, lease).catch(() => undefined);
  }

  #beat(): Promise<void> {
    this.#beating ??= this.#look()
      .catch((error: unknown) =>
        this.#options.log.error({ lease: this.#name, error: String(error) }, "lease not renewed"),
      )
      .finally(() => (this.#beating = undefined));
    return this.#beating;
  }

  async #look(): Promise<void> {
    await this.#finishing;
    if (this.#ended) return;
    const held = this.#held;
    if (held?.lease === undefined) return this.#take();
    const asked = performance.now();
    if (!(await this.#options.database.write(renewLease, held.lease))) await this.#finish();
    else if (this.#held === held) this.#watch(held, asked);
  }

  async #take(): Promise<void> {
    const { database, holder } = this.#options;
    const isOld = this.#seen !== undefined && performance.now() - this.#seen.since > waits;
    const seen = isOld && this.#seen !== undefined ? { fence: this.#seen.fence, beat: this.#seen.beat } : undefined;
    const asked = performance.now();
    const taken = await database.write(takeLease, { name: this.#name, holder, seen });
    if ("lease" in taken) return this.#begin(taken.lease, asked);
    const { fence, beat } = taken.state;
    if (this.#seen?.fence !== fence || this.#seen.beat !== beat) this.#seen = { fence, beat, since: performance.now() };
  }

  /** @param asked when the lease was asked for, on the clock of `performance` */
  async #begin(lease: Lease | undefined, asked: number): Promise<void> {
    this.#seen = undefined;
    const held: Held = { lease, stop: await this.#work(lease), deadline: undefined };
    this.#held = held;
    if (lease === undefined) return;
    this.#watch(held, asked);
    this.#options.log.info({ lease: this.#name, fence: lease.fence }, "background work taken on");
  }

  /** Who cannot renew stops before the others stop waiting, whatever the renewal waits for. */
  #watch(held: Held, asked: number): void {
    clearTimeout(held.deadline);
    held.deadline = setTimeout(() => void this.#finish(), asked + goesOn - performance.now());
  }

  #finish(): Promise<void> {
    const held = this.#held;
    if (held !== undefined) {
      this.#held = undefined;
      clearTimeout(held.deadline);
      this.#finishing = this.#stop(held);
    }
    return this.#finishing ?? Promise.resolve();
  }

  async #stop(held: Held): Promise<void> {
    await held.stop();
    if (held.lease !== undefined) this.#options.log.info({ lease: this.#name }, "background work given up");
  }
}
