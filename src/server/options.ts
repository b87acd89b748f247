import { AllowList } from "../egress/allow-list.ts";
import ipaddr from "ipaddr.js";
import { z } from "zod";
import { storeShape } from "./blob-stores.ts";
import { providerShape } from "./sign-in-providers.ts";
import { parseListen } from "./listen-address.ts";
import { byteCount, checkedText, choice, integer, list, type Option, structure, text, truth } from "./option.ts";

const hostName = z
  .string()
  .regex(/^[a-z0-9]+(?:[.-][a-z0-9]+)*$/, "expected a host name in lower case, without a port");

const hostShape = z.strictObject({ name: hostName, store: z.string().default("default") });

const cidr = z.string().refine((value) => {
  try {
    return ipaddr.isValid(value) || ipaddr.parseCIDR(value).length === 2;
  } catch {
    return false;
  }
}, "expected an address or a network such as 10.0.0.0/8");

const reachable = z.string().transform((entry, context) => {
  const fault = AllowList.faultOf(entry);
  if (fault !== undefined) context.addIssue(fault);
  return entry;
});

function checkDatabase(value: string): void {
  const url = URL.parse(value);
  if (url === null || !["postgres:", "postgresql:"].includes(url.protocol)) {
    throw new Error("expected an address such as postgres://berth@db.example.com/berth");
  }
  if (url.password !== "" || url.searchParams.has("password"))
    throw new Error("takes no password: settings are shown in too many places; use metadata.password-file");
}

function checkEndpoint(value: string): void {
  const url = URL.parse(value);
  const isPlain = url !== null && url.username + url.password + url.search + url.hash === "";
  if (!isPlain || !["http:", "https:"].includes(url.protocol)) {
    throw new Error("expected an address such as https://pubsub.googleapis.com");
  }
}

/**
 * Every setting of `berth serve`. From this table come the flags, the variables, the keys of `berth.yaml`, their
 * checks, the help and docs/options.md.
 */
export const options = {
  listen: checkedText(parseListen, {
    key: "listen",
    default: "127.0.0.1:5000",
    doc: "Address and port to listen on, `ADDR:PORT`; port 0 lets the system choose. Off loopback it takes TLS.",
  }),
  data: text({
    key: "data",
    default: "./data",
    doc: "Directory of the metadata, the keys and, unless a store says otherwise, the blobs. One server at a time.",
  }),
  publicName: text<string | undefined>({
    key: "public-name",
    default: undefined,
    doc: "The name under which clients reach this server, with its port: in the key file and in messages to others. By default the address it listens on.",
  }),
  tls: choice(["off", "self-signed", "files"], {
    key: "tls.mode",
    flag: "tls",
    default: "off",
    doc: "`self-signed` makes a certificate authority in the data directory and certificates for every configured host; `files` reads `tls.cert` and `tls.key`, which alone imply it.",
  }),
  tlsCert: text<string | undefined>({
    key: "tls.cert",
    default: undefined,
    doc: "File with the certificate chain in PEM. Read again when it changes.",
  }),
  tlsKey: text<string | undefined>({
    key: "tls.key",
    default: undefined,
    doc: "File with the certificate's private key in PEM. Read again when it changes.",
  }),
  insecureHttp: truth({
    key: "insecure-http",
    default: false,
    doc: "Serve plain HTTP off loopback too: passwords and tokens are then readable on the network. For use behind a proxy that terminates TLS.",
  }),
  trustedProxies: list(cidr, "NETWORK,…", {
    key: "trusted-proxies",
    default: [],
    doc: "Addresses or networks of reverse proxies whose X-Forwarded-For, -Proto and -Host count. From anyone else these headers are ignored.",
  }),
  workers: integer(1, 64, {
    key: "workers",
    default: 1,
    doc: "Processes that answer requests, all on one port.",
  }),
  hosts: structure(
    z.array(z.union([hostShape, hostName.transform((name) => ({ name, store: "default" }))])),
    "[HOST, …]",
    {
      key: "hosts",
      default: [],
      doc: "Host names with registries of their own, beside `gcr.io`, `us.gcr.io`, `eu.gcr.io`, `asia.gcr.io` and `mirror.gcr.io`: a list of names, or of `{name, store}`. Any other name means `gcr.io`'s registry.",
    },
  ),
  metadataUrl: checkedText<string | undefined>(checkDatabase, {
    key: "metadata.url",
    default: undefined,
    doc: "PostgreSQL (15 or newer) for the metadata: `postgres://USER@HOST/DATABASE`, with `?sslmode=verify-full` and `&sslrootcert=FILE` for TLS. Any number of servers may share one. By default the metadata is a file in the data directory.",
  }),
  metadataPasswordFile: text<string | undefined>({
    key: "metadata.password-file",
    default: undefined,
    doc: "File with the password of the user in `metadata.url`. Without it `PGPASSWORD` and `~/.pgpass` count.",
  }),
  metadataConnections: integer(2, 1000, {
    key: "metadata.connections",
    default: 10,
    doc: "Most connections of each process to PostgreSQL, half of them for reading: a server has `workers` and two more processes.",
  }),
  metadataPrepared: truth({
    key: "metadata.prepared-statements",
    default: true,
    doc: "Use prepared statements. Switch it off behind PgBouncer before 1.21, or any pooler that gives each transaction another connection and does not know them.",
  }),
  stores: structure(z.record(z.string().regex(/^[a-z0-9-]{1,40}$/), storeShape), "{NAME: {…}}", {
    key: "stores",
    default: {},
    doc: "Blob stores by name; `default` holds what no other is named for. `driver: filesystem` takes `path` (default: `blobs` for the store `default`, else `stores/NAME`, in the data directory) and `transfer`: `file` lets the kernel send files, `stream` reads them in the program, for volumes where that fails. `driver: s3` takes `bucket`, `prefix` (in front of every key), `region` (`us-east-1`), `endpoint` (of a store that is not Amazon's), `path-style: true` (the bucket in the path), `ca` (file with the endpoint's certificate authority), `access-key-id` with `secret-access-key-file` (else what the environment, the shared files or the machine's role give), `concurrency` (requests at once, and bodies at once, in each process: 64) and `timeout` (seconds without an answer: 30).",
  }),
  protectReferenced: truth({
    key: "protect-referenced",
    default: false,
    doc: "Refuse to delete a manifest that is tagged, or that a list holds, under every host name. Under Container Registry's own names that is always so.",
  }),
  allowMissingBlobs: truth({
    key: "allow-missing-blobs",
    default: false,
    doc: "Accept image manifests whose config or layers are not in the repository, as the specification permits. The manifests give no right to these blobs; by default they are refused with MANIFEST_BLOB_UNKNOWN.",
  }),
  idleTimeout: integer(5, 255, {
    key: "idle-timeout",
    default: 60,
    doc: "Seconds without a byte moving after which a connection is closed. A slow transfer that moves goes on.",
  }),
  shutdownTimeout: integer(1, 3600, {
    key: "shutdown-timeout",
    default: 30,
    doc: "Seconds that running transfers get to finish after SIGTERM.",
  }),
  shutdownDelay: integer(0, 3600, {
    key: "shutdown-delay",
    default: 0,
    doc: "Seconds after SIGTERM during which the server takes requests as before while `/readyz` says 503: as long as a load balancer needs to see that and to send nothing more.",
  }),
  logLevel: choice(["debug", "info", "warn", "error", "silent"], {
    key: "log.level",
    default: "info",
    doc: "Least level of what is logged. At `info` there is a line for each request.",
  }),
  manifestSize: byteCount(1024, 64 * 2 ** 20, {
    key: "limits.manifest-size",
    default: 4 * 2 ** 20,
    doc: "Most bytes of a manifest.",
  }),
  uploadSize: byteCount(1024, 2 ** 43, {
    key: "limits.upload-size",
    default: 2 ** 39,
    doc: "Most bytes of a blob.",
  }),
  openUploads: integer(1, 1_000_000, {
    key: "limits.open-uploads",
    default: 1000,
    doc: "Most uploads that one caller may have open.",
  }),
  uploadExpiry: integer(1, 8760, {
    key: "limits.upload-expiry",
    default: 24,
    doc: "Hours after which an upload that nobody continues is given up.",
  }),
  requestQuota: integer(0, 1_000_000_000, {
    key: "limits.requests",
    default: 50_000,
    doc: "Requests that are taken from one client address in ten minutes, as Container Registry did; what comes beyond is refused with 429 and Retry-After. Several processes count together, each with what the others had a second ago. 0 takes any number, and the machine itself is never refused.",
  }),
  auditRetention: integer(1, 36_500, {
    key: "audit.retention",
    default: 400,
    doc: "Days that entries of the audit log are kept.",
  }),
  signInProviders: structure(z.array(providerShape).max(20), "[{…}, …]", {
    key: "sign-in.providers",
    default: [],
    doc: "OpenID Connect providers that people may sign in through: `name`, `issuer`, `client-id`, `client-secret-file`, and where they differ `scope` (`openid email profile`), `groups-claim` (`groups`), `groups-domain` (what follows `@` in the addresses of its groups: the provider names groups of this domain and no others, and without it none) and `email-domains` (whose addresses are taken; all). The provider sends people back to `PUBLIC-NAME/signin/NAME/callback`.",
  }),
  pubsubEndpoint: checkedText<string | undefined>(checkEndpoint, {
    key: "pubsub.endpoint",
    default: undefined,
    doc: "Address of Cloud Pub/Sub, or of what speaks its REST API, such as an emulator: there Berth tells the topic `gcr` of each project of pushes and deletes, as the project's service agent. Without it nothing is sent. An address on a private network has to be in `egress.allow`.",
  }),
  egressAllow: list(reachable, "HOST,…", {
    key: "egress.allow",
    default: [],
    doc: "Host names, `*.SUFFIX`, addresses and networks that the server may send requests to although they are not on the public internet, or over plain HTTP. Everything else that is private, loopback or link-local is refused.",
  }),
  egressCa: text<string | undefined>({
    key: "egress.ca",
    default: undefined,
    doc: "File with certificates in PEM that the server trusts besides the system's where it sends requests.",
  }),
  cacheSize: byteCount(2 ** 20, 2 ** 36, {
    key: "cache-size",
    default: 32 * 2 ** 20,
    doc: "Memory of each process for manifests and small blobs.",
  }),
} satisfies Record<string, Option<never> | Option<unknown>>;

export type Settings = { [K in keyof typeof options]: (typeof options)[K]["default"] };

/** The keys of `Settings` with their options, in the order of the reference. */
export const optionList = Object.entries(options) as [keyof Settings, Option<unknown>][];
