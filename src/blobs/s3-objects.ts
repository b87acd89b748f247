import { createHash } from "node:crypto";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  type GetObjectCommandOutput,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { FetchHttpHandler } from "@smithy/fetch-http-handler";
import { Semaphore, type SemaphoreInterface, withTimeout } from "async-mutex";
import { type ByteRange, MissingBytesError, StoreUnavailableError } from "./blob-store.ts";
import type { Objects, ObjectWriter } from "./objects.ts";

export interface S3Options {
  bucket: string;
  /** In front of every key, as it is: `berth/` keeps the registry below one directory. */
  prefix: string;
  region: string;
  /** Of a store that is not Amazon's. */
  endpoint: string | undefined;
  /** The bucket in the path, not in the host name. */
  pathStyle: boolean;
  /** Certificate authority of the endpoint, in PEM. */
  ca: string | undefined;
  /** Else the SDK's own chain: environment, shared files, web identity, container and instance roles. */
  credentials: { accessKeyId: string; secretAccessKey: string } | undefined;
  /** Requests at once, and apart from them bodies being read at once. */
  concurrency: number;
  /** Milliseconds for which a request may go without an answer, a body without a byte. */
  timeout: number;
}

/** How often a body that broke is asked for again before it fails without having moved. */
const reopenings = 4;
const attempts = 5;

/** S3's API, Amazon's or another's. @see https://docs.aws.amazon.com/AmazonS3/latest/API/ */
export class S3Objects implements Objects {
  readonly #client: S3Client;
  readonly #options: S3Options;
  readonly #requests: SemaphoreInterface;
  readonly #bodies: SemaphoreInterface;

  constructor(options: S3Options) {
    this.#options = options;
    // Who reads slowly holds a place for long: others are told after a while, and do not wait for ever.
    const busy = new StoreUnavailableError("all connections to the store are busy");
    this.#requests = withTimeout(new Semaphore(options.concurrency), options.timeout, busy);
    this.#bodies = withTimeout(new Semaphore(options.concurrency), options.timeout, busy);
    const tls = options.ca === undefined ? {} : { tls: { ca: options.ca } };
    this.#client = new S3Client({
      region: options.region,
      ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
      ...(options.credentials !== undefined && { credentials: options.credentials }),
      forcePathStyle: options.pathStyle,
      maxAttempts: attempts,
      // Content-MD5 is checked by every store there is; the newer checksums are not.
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
      requestHandler: new FetchHttpHandler({
        // Bun closes the connection after each request without it.
        keepAlive: true,
        requestTimeout: options.timeout,
        // What is stored is what is sent on, whatever its Content-Encoding.
        customFetch: Object.assign(
          (request: URL | RequestInfo) => fetch(request, { ...tls, decompress: false, redirect: "manual" }),
          { preconnect: fetch.preconnect },
        ),
      }),
    });
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const input = { ...this.#at(key), Body: bytes, ContentLength: bytes.byteLength, ContentMD5: md5(bytes) };
    await this.#request((options) => this.#client.send(new PutObjectCommand(input), options));
  }

  async write(key: string): Promise<ObjectWriter> {
    const at = this.#at(key);
    const begun = await this.#request((options) => this.#client.send(new CreateMultipartUploadCommand(at), options));
    const upload = { ...at, UploadId: begun.UploadId };
    const parts: { PartNumber: number; ETag: string | undefined }[] = [];
    return {
      part: async (bytes) => {
        const part = {
          PartNumber: parts.length + 1,
          Body: bytes,
          ContentLength: bytes.byteLength,
          ContentMD5: md5(bytes),
        };
        const input = { ...upload, ...part };
        const { ETag } = await this.#request((options) => this.#client.send(new UploadPartCommand(input), options));
        parts.push({ PartNumber: part.PartNumber, ETag });
      },
      complete: async () => {
        const input = { ...upload, MultipartUpload: { Parts: parts } };
        try {
          await this.#request((options) => this.#client.send(new CompleteMultipartUploadCommand(input), options));
        } catch (error) {
          // The answer to an earlier attempt was lost: what was completed has no upload any more, but an object.
          if (!isNamed(error, "NoSuchUpload") || !(await this.exists(key))) throw error;
        }
      },
      abort: () => this.#abort(key, begun.UploadId as string),
    };
  }

  async abortUnfinished(key: string): Promise<void> {
    const input = { Bucket: this.#options.bucket, Prefix: this.#options.prefix + key };
    const { Uploads = [] } = await this.#request((options) =>
      this.#client.send(new ListMultipartUploadsCommand(input), options),
    );
    const own = Uploads.filter(({ Key }) => Key === input.Prefix);
    await Promise.all(own.map(({ UploadId }) => this.#abort(key, UploadId as string)));
  }

  async #abort(key: string, uploadId: string): Promise<void> {
    const input = { ...this.#at(key), UploadId: uploadId };
    try {
      await this.#request((options) => this.#client.send(new AbortMultipartUploadCommand(input), options));
    } catch (error) {
      if (!isNamed(error, "NoSuchUpload")) throw error;
    }
  }

  async get(key: string, range: ByteRange | undefined): Promise<AsyncGenerator<Uint8Array>> {
    const release = await this.#bodies.acquire().then(([, free]) => free);
    try {
      const body = await this.#open(key, { first: range?.first ?? 0, last: range?.last }, undefined);
      return this.#read(key, body, release);
    } catch (error) {
      release();
      throw error;
    }
  }

  /** Reads a body to its end: one that breaks is asked for again from where it broke. */
  async *#read(key: string, opened: OpenBody, release: () => void): AsyncGenerator<Uint8Array> {
    let body = opened;
    let failures = 0;
    try {
      while (body.first < body.end) {
        try {
          const { value } = await within(this.#options.timeout, (body.reader as Reader).read());
          if (value === undefined) throw new Error(`the store ended ${key} at byte ${body.first} of ${body.end}`);
          body.first += value.byteLength;
          failures = 0;
          yield value;
        } catch (error) {
          body.close();
          if (++failures > reopenings) throw error;
          await Bun.sleep(Math.random() * 100 * 2 ** failures);
          body = await this.#open(key, { first: body.first, last: body.end - 1 }, body.etag);
        }
      }
    } finally {
      body.close();
      release();
    }
  }

  async #open(key: string, from: { first: number; last: number | undefined }, etag?: string): Promise<OpenBody> {
    const { first, last } = from;
    // Asked for a range, a store tells the size even where a proxy takes the Content-Length away.
    const input = {
      ...this.#at(key),
      Range: `bytes=${first}-${last ?? ""}`,
      ...(etag !== undefined && { IfMatch: etag }),
    };
    const controller = new AbortController();
    const close = (): void => controller.abort();
    try {
      const answer = await this.#client.send(new GetObjectCommand(input), { abortSignal: controller.signal });
      const end = endOf(answer, first);
      if (end === undefined || answer.Body === undefined) {
        close();
        throw new Error(`the store sent ${answer.ContentRange ?? "something else"} of ${key}, not bytes from ${first}`);
      }
      const reader = (answer.Body.transformToWebStream() as ReadableStream<Uint8Array>).getReader();
      return { reader, etag: answer.ETag, first, end, close };
    } catch (error) {
      // There are no bytes to begin at: an empty object.
      if (isNamed(error, "InvalidRange") && first === 0) return { reader: undefined, etag, first: 0, end: 0, close };
      throw isNamed(error, "NoSuchKey")
        ? new MissingBytesError(`no bytes under ${key}`, { cause: error })
        : told(error);
    }
  }

  async exists(key: string): Promise<boolean> {
    try {
      await this.#request((options) => this.#client.send(new HeadObjectCommand(this.#at(key)), options));
      return true;
    } catch (error) {
      if (isNamed(error, "NotFound")) return false;
      throw error;
    }
  }

  async delete(key: string): Promise<void> {
    await this.#request((options) => this.#client.send(new DeleteObjectCommand(this.#at(key)), options));
  }

  async *list(prefix: string): AsyncIterable<{ key: string; changedAt: number }> {
    const input = { Bucket: this.#options.bucket, Prefix: this.#options.prefix + prefix };
    for (let token: string | undefined; ;) {
      const page = await this.#request((options) =>
        this.#client.send(new ListObjectsV2Command({ ...input, ContinuationToken: token }), options),
      );
      for (const { Key, LastModified } of page.Contents ?? []) {
        yield { key: (Key as string).slice(this.#options.prefix.length), changedAt: (LastModified as Date).getTime() };
      }
      token = page.NextContinuationToken;
      if (token === undefined) return;
    }
  }

  #at(key: string): { Bucket: string; Key: string } {
    return { Bucket: this.#options.bucket, Key: this.#options.prefix + key };
  }

  /** One request with the retries of the SDK, which back off with jitter; given up for good after all of them. */
  async #request<T>(send: (options: { abortSignal: AbortSignal }) => Promise<T>): Promise<T> {
    return this.#requests.runExclusive(async () => {
      // The handler's timeout only stops waiting; the signal, after the last attempt, ends what may still be running.
      const controller = new AbortController();
      try {
        return await send({ abortSignal: controller.signal });
      } catch (error) {
        controller.abort();
        throw told(error);
      }
    });
  }
}

/** The first byte after what an answer brings. */
function endOf({ ContentRange, ContentLength }: GetObjectCommandOutput, first: number): number | undefined {
  const [, from, to] = /^bytes (\d+)-(\d+)\//.exec(ContentRange ?? "") ?? [];
  if (from !== undefined) return Number(from) === first ? Number(to) + 1 : undefined;
  // A store that knows no ranges of an object sends all of it.
  return first === 0 ? ContentLength : undefined;
}

interface OpenBody {
  /** `undefined` for no bytes at all. */
  reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  etag: string | undefined;
  /** The next byte that is read, and the first that is not. */
  first: number;
  end: number;
  /** Ends the request, whatever of it has not come. */
  close(): void;
}

type Reader = ReadableStreamDefaultReader<Uint8Array>;

const md5 = (bytes: Uint8Array): string => createHash("md5").update(bytes).digest("base64");

const isNamed = (error: unknown, name: string): boolean => (error as Error | undefined)?.name === name;

const fullStore = new Set(["QuotaExceeded", "XMinioStorageFull", "InsufficientStorage"]);

/** A store that is full says so in the way of a disk; one that cannot be reached, or cannot answer, is unavailable. */
function told(error: unknown): unknown {
  const { name, $metadata } = error as { name?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode;
  if (fullStore.has(name ?? "") || status === 507) return Object.assign(error as Error, { code: "ENOSPC" });
  const refused = name === "CredentialsProviderError" || (status !== undefined && status < 500);
  return refused ? error : new StoreUnavailableError(`the store does not answer: ${String(error)}`, { cause: error });
}

async function within<T>(milliseconds: number, promise: Promise<T>): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`the store sent nothing for ${milliseconds} ms`)), milliseconds);
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
