import type { Berth } from "../harness/berth.ts";
import { Pusher, UnexpectedReply } from "../harness/pusher.ts";
import { Ledger, LossError } from "./ledger.ts";
import { contentBytes, makeContent, type Random } from "./random.ts";
import { type Findings, verify } from "./verify.ts";
import { type Client, resume, work } from "./workload.ts";

const shared = "my-project/shared/base";

/** Several clients that push at once, and what was acknowledged to each. */
export class Clients {
  readonly ledgers: readonly Ledger[];
  readonly #shared = new Ledger(shared);
  readonly #randoms: Random[];
  readonly #largest: number;
  /** Requests that were done from their beginning to their end. */
  done = 0;

  constructor(random: Random, { count, largest }: { count: number; largest: number }) {
    this.#largest = largest;
    this.#randoms = Array.from({ length: count }, () => random.fork());
    this.ledgers = [this.#shared, ...this.#randoms.map((_, i) => new Ledger(`my-project/crash/client-${i}`))];
  }

  /** Pushes what the clients will mount. */
  async prepare(berth: Berth, random: Random): Promise<void> {
    const pusher = await pusherFor(berth, this.#shared);
    for (let i = 0; i < 4; i++) {
      const content = makeContent(random, random.between(1000, 100_000));
      await pusher.upload(content.digest, contentBytes(content));
      this.#shared.blob(content).present.doubt(true);
      this.#shared.blob(content).present.settle();
    }
  }

  /**
   * Lets all clients work until together they made `steps` steps (parts of bodies sent, replies received), then
   * calls `strike`, and waits for the clients to stop: each at its first request without a reply, or after the one
   * that it is at.
   * @throws the first error that `strike` cannot be the reason of
   */
  async workUntil(berth: Berth, steps: number, strike: () => Promise<void>): Promise<void> {
    let left = steps;
    let struck: Promise<void> | undefined;
    let stopping = false;
    const step = (): void => {
      if (--left > 0 || struck !== undefined) return;
      struck = strike().finally(() => {
        stopping = true;
      });
    };
    const loop = async (client: Client): Promise<void> => {
      try {
        while (!stopping) {
          await work(client);
          this.done++;
        }
      } catch (error) {
        stopping = true;
        if (struck === undefined || !isInterruption(error)) throw error;
      }
    };
    const [, ...ledgers] = this.ledgers;
    const clients = ledgers.map(async (ledger, i): Promise<Client> => {
      const pusher = await pusherFor(berth, ledger, step);
      return { pusher, ledger, random: this.#randoms[i] as Random, shared: this.#shared, largest: this.#largest };
    });
    const ends = await Promise.allSettled((await Promise.all(clients)).map(loop));
    for (const end of ends) if (end.status === "rejected") throw end.reason;
    await struck;
  }

  /** Resumes every upload that is open, and ends it. @returns how many */
  async finishUploads(berth: Berth): Promise<number> {
    let finished = 0;
    for (const ledger of this.ledgers) {
      const client = { pusher: await pusherFor(berth, ledger), ledger, random: this.#randoms[0] as Random };
      for (const upload of ledger.uploads) {
        await resume({ ...client, shared: this.#shared, largest: this.#largest }, upload);
        finished++;
      }
    }
    return finished;
  }

  /** Verifies every repository. @throws LossError */
  async verify(berth: Berth): Promise<Findings> {
    const sum: Findings = { manifests: 0, tags: 0, blobs: 0, uploads: 0, doubts: 0 };
    for (const ledger of this.ledgers) {
      const found = await verify({ pusher: await pusherFor(berth, ledger), ledger });
      for (const key of Object.keys(sum) as (keyof Findings)[]) sum[key] += found[key];
    }
    return sum;
  }
}

/** A client of the repository with a token of its own. */
export async function pusherFor(berth: Berth, { repository }: Ledger, step?: () => void): Promise<Pusher> {
  const scopes = [`repository:${repository}:pull,push,delete`, `repository:${shared}:pull`];
  const authorization = `Bearer ${await berth.token(...scopes)}`;
  return new Pusher({ url: berth.url, repository, authorization, ...(step === undefined ? {} : { step }) });
}

/** Whether a request failed as one does whose server dies, not because the server says something wrong. */
function isInterruption(error: unknown): boolean {
  if (error instanceof UnexpectedReply) return error.status >= 500;
  return !(error instanceof LossError) && typeof (error as { code?: unknown }).code === "string";
}

/** Lines of the log that tell of a fault, other than a process that a test killed. */
export function faultsIn(output: string): string[] {
  return output
    .split("\n")
    .filter(
      (line) =>
        line.includes('"level":50') || line.includes('"level":60') || !/^(?:\{|berth: | +install |$)/.test(line),
    )
    .filter((line) => !line.includes("process died, starting it again"));
}
