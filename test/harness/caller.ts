import { expect } from "bun:test";
import { readFileSync } from "node:fs";
import type { Berth } from "./berth.ts";

/** A reply, read to its end. */
export interface Reply {
  status: number;
  headers: Headers;
  bytes: Uint8Array;
  text: string;
}

export interface Sent {
  headers?: Record<string, string>;
  body?: RequestInit["body"];
}

/** Somebody who calls the server: under one host name, with one credential. */
export interface Caller {
  send(method: string, path: string, sent?: Sent): Promise<Reply>;
}

export interface CallerOptions {
  /** The Host header; by default the address that the server listens on. */
  host?: string;
  /** The Authorization header; by default the admin key's, `null` for none. */
  authorization?: string | null;
}

export function basic(password: string, user = "_json_key"): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
}

export function bearer(token: string): string {
  return `Bearer ${token}`;
}

export function callerOf(berth: Berth, { host, authorization = basic(berth.key) }: CallerOptions = {}): Caller {
  const tls = berth.url.startsWith("https:") ? { tls: { ca: readFileSync(berth.ca, "utf8") } } : {};
  const own = { ...(host === undefined ? {} : { host }), ...(authorization === null ? {} : { authorization }) };
  return {
    async send(method, path, { headers, body } = {}) {
      const init = { method, headers: { ...own, ...headers }, redirect: "manual", ...tls } as const;
      const response = await fetch(berth.url + path, { ...init, ...(body === undefined ? {} : { body }) });
      const bytes = await response.bytes();
      return { status: response.status, headers: response.headers, bytes, text: Buffer.from(bytes).toString("utf8") };
    },
  };
}

/** What a row of a table says of a reply; what it leaves out may be anything. */
export interface Expected {
  status: number;
  /** By name: the exact value, a pattern, or `null` for a header that must not be there. */
  headers?: Record<string, string | RegExp | null>;
  /** The first error's code. */
  code?: string;
  /** The first error's message. */
  message?: string | RegExp;
  /** The body as text. */
  text?: string;
  /** Parts that the body, read as JSON, must have. */
  json?: object;
}

interface ErrorBody {
  errors: { code: string; message: string; detail?: unknown }[];
}

/** The errors of a refusal, in the registry protocol's form; none where the body is something else. */
export function errorsOf({ headers, text }: Reply): ErrorBody["errors"] {
  if (!headers.get("content-type")?.startsWith("application/json") || text === "") return [];
  return (JSON.parse(text) as Partial<ErrorBody>).errors ?? [];
}

/** Compares a reply with its row of the table, all of it in one difference. */
export function expectReply(reply: Reply, expected: Expected): void {
  const { status, headers = {}, code, message, text, json } = expected;
  const isRefusal = code !== undefined || message !== undefined;
  const names = isRefusal ? [...Object.keys(headers), "content-type"] : Object.keys(headers);
  const patterns = Object.entries(headers).map(([name, value]) => [name, pattern(value)]);
  const wanted = {
    status,
    headers: {
      ...(isRefusal ? { "content-type": pattern(/^application\/json\b/) } : {}),
      ...(Object.fromEntries(patterns) as Record<string, unknown>),
    },
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { message: pattern(message) }),
    ...(text === undefined ? {} : { text }),
  };
  const [refusal] = isRefusal ? errorsOf(reply) : [];
  const actual = {
    status: reply.status,
    headers: Object.fromEntries(names.map((name) => [name, reply.headers.get(name)])),
    ...(code === undefined ? {} : { code: refusal?.code }),
    ...(message === undefined ? {} : { message: refusal?.message }),
    ...(text === undefined ? {} : { text: reply.text }),
    // Tells why the status is another.
    ...(reply.status === status ? {} : { body: reply.text.slice(0, 500) }),
  };
  expect(actual as object).toEqual(wanted);
  if (json !== undefined) expect(JSON.parse(reply.text)).toMatchObject(json);
}

function pattern(value: string | RegExp | null): unknown {
  return value instanceof RegExp ? expect.stringMatching(value) : value;
}
