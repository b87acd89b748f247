import { readFileSync } from "node:fs";
import manifest from "../../package.json" with { type: "json" };
import { CommandFailure, UsageError } from "./command.ts";
import { type Credential, findCredential, serverOrigin, signAssertion } from "./credentials.ts";
import type { Environment, Input } from "./noun.ts";
import { printable } from "./print-result.ts";
import { withProgress } from "./progress.ts";

/** Parameters of an address; those that are `undefined` are left out. */
type Query = Record<string, string | readonly string[] | undefined>;

interface ApiRequest {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** See `apiPath`. */
  path: string;
  query?: Query | undefined;
  body?: object;
}

/** A refusal by the server, in its own input. */
export class ServerRefusal extends CommandFailure {
  readonly httpStatus: number;
  /** Such as `ABORTED`; empty where the reply names none. */
  readonly status: string;

  constructor(httpStatus: number, status: string, message: string) {
    super(message);
    this.httpStatus = httpStatus;
    this.status = status;
  }
}

/** A path whose variables stand in one segment each, whatever they hold. @throws UsageError */
export function apiPath(parts: TemplateStringsArray, ...values: readonly string[]): string {
  return parts.reduce((path, part, i) => {
    const value = values[i - 1] as string;
    // These would lead to another resource.
    if (value === "." || value === "..") throw new UsageError(`"${value}" is no name`);
    return path + encodeURIComponent(value) + part;
  });
}

/** Reads the flags and variables that say which server, and as whom. @throws UsageError, CommandFailure */
export function openServer(input: Input, environment: Environment): ServerClient {
  const credential = findCredential(input, environment);
  const origin = serverOrigin(input, environment, credential);
  const caFile = input.text("ca") ?? (environment.BERTH_CA || undefined);
  try {
    return new ServerClient(origin, credential, caFile === undefined ? undefined : readFileSync(caFile, "utf8"));
  } catch (error) {
    throw new CommandFailure(`the certificate authority cannot be read: ${(error as Error).message}`);
  }
}

/** `--project`, or the project that the key file is of. @throws UsageError */
export function projectOf(input: Input, server: ServerClient): string {
  const project = input.text("project") ?? server.project;
  if (project === undefined) throw new UsageError("name the project with --project");
  return project;
}

/**
 * A server, called over HTTP with the rights of one credential. The credential goes nowhere else. All calls throw
 * ServerRefusal, or CommandFailure where no server answers.
 */
export class ServerClient {
  readonly origin: string;
  /** Of the service account that signs in. */
  readonly project: string | undefined;
  readonly #credential: Credential;
  readonly #ca: string | undefined;
  #token: Promise<string> | undefined;

  constructor(origin: string, credential: Credential, ca: string | undefined) {
    this.origin = origin;
    this.project = "key" in credential ? credential.key.project_id : undefined;
    this.#credential = credential;
    this.#ca = ca;
  }

  accessToken(): Promise<string> {
    return (this.#token ??= this.#fetchToken());
  }

  get<T>(path: string, query?: Query): Promise<T> {
    return this.#call({ method: "GET", path, query });
  }

  post<T>(path: string, body: object = {}): Promise<T> {
    return this.#call({ method: "POST", path, body });
  }

  put<T>(path: string, body: object): Promise<T> {
    return this.#call({ method: "PUT", path, body });
  }

  patch<T>(path: string, body: object, query?: Query): Promise<T> {
    return this.#call({ method: "PATCH", path, body, query });
  }

  remove<T>(path: string): Promise<T> {
    return this.#call({ method: "DELETE", path });
  }

  /** What all pages of a list hold under `field`. */
  async list<T>(path: string, field: string, query: Query = {}): Promise<T[]> {
    const items: T[] = [];
    let pageToken: string | undefined;
    do {
      const page = await this.get<Record<string, unknown>>(path, { ...query, pageToken });
      items.push(...((page[field] as T[] | undefined) ?? []));
      pageToken = page.nextPageToken as string | undefined;
    } while (pageToken !== undefined);
    return items;
  }

  /** The body as it comes. */
  async stream(path: string, query: Query): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { body } = await this.#waiting(() => this.#send({ method: "GET", path, query }));
    return body ?? new ReadableStream({ start: (controller) => controller.close() });
  }

  #call<T>(request: ApiRequest): Promise<T> {
    return this.#waiting(async () => readJson<T>(await this.#send(request), this.origin));
  }

  async #send({ method, path, query = {}, body }: ApiRequest): Promise<Response> {
    const url = new URL(path, this.origin);
    for (const [name, value] of Object.entries(query)) {
      for (const each of [value ?? []].flat()) url.searchParams.append(name, each);
    }
    const headers = { authorization: `Bearer ${await this.accessToken()}`, "content-type": "application/json" };
    return this.#fetch(url, { method, headers, ...(body !== undefined && { body: JSON.stringify(body) }) });
  }

  async #fetchToken(): Promise<string> {
    const credential = this.#credential;
    if ("token" in credential) return credential.token;
    const body = new URLSearchParams({
      grant_type: "urn:ietf:params:oauth:grant-type:jwt-bearer",
      assertion: await signAssertion(credential, this.origin),
    });
    try {
      const reply = await this.#waiting(() => this.#fetch(new URL("/token", this.origin), { method: "POST", body }));
      return (await readJson<{ access_token: string }>(reply, this.origin)).access_token;
    } catch (error) {
      if (!(error instanceof ServerRefusal)) throw error;
      throw new CommandFailure(`${this.origin} does not take the key in ${credential.file}: ${error.message}`);
    }
  }

  async #fetch(url: URL, init: RequestInit): Promise<Response> {
    const headers = { ...(init.headers as Record<string, string>), "user-agent": `berth/${manifest.version}` };
    const tls = this.#ca === undefined ? {} : { tls: { ca: this.#ca } };
    let reply: Response;
    try {
      // Another server than this is not to see the credential.
      reply = await fetch(url, { ...init, headers, redirect: "manual", ...tls });
    } catch (error) {
      const { code = "", message } = error as Error & { code?: string };
      const isUntrusted = /CERT|SIGNATURE|ISSUER|CHAIN/.test(code);
      const hint = isUntrusted ? "; --ca names the server's certificate authority" : "";
      throw new CommandFailure(`${this.origin} cannot be reached: ${message}${hint}`);
    }
    if (!reply.ok) throw await refusalOf(reply, this.origin);
    return reply;
  }

  #waiting<T>(work: () => Promise<T>): Promise<T> {
    return withProgress((seconds) => `waiting for ${this.origin} (${seconds} s)`, work);
  }
}

/** @throws CommandFailure */
async function readJson<T>(reply: Response, origin: string): Promise<T> {
  try {
    return (await reply.json()) as T;
  } catch {
    throw new CommandFailure(`${origin} answered with something else than JSON, and is perhaps no Berth`);
  }
}

interface ErrorBody {
  error?: { message?: string; status?: string } | string;
  error_description?: string;
  errors?: { message?: string }[];
}

/** [AIP-193; RFC 6749 section 5.2; the distribution specification's errors] */
async function refusalOf(reply: Response, origin: string): Promise<ServerRefusal> {
  const text = await reply.text();
  let body: ErrorBody = {};
  try {
    body = (JSON.parse(text) as ErrorBody | null) ?? {};
  } catch {
    // What stands before the server answers as it likes.
  }
  const { error, error_description: description, errors } = body;
  const known =
    typeof error === "object" ? error.message : error === undefined ? errors?.[0]?.message : `${error}: ${description}`;
  const status = (typeof error === "object" ? error.status : undefined) ?? "";
  const message = known ?? `${origin} answered with status ${reply.status}, and is perhaps no Berth`;
  return new ServerRefusal(reply.status, status, printable(message));
}
