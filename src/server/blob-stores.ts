import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import type { BlobStore } from "../blobs/blob-store.ts";
import { FilesystemStore } from "../blobs/filesystem.ts";
import { ObjectStore } from "../blobs/object-store.ts";
import type { DataDirectory } from "./data-directory.ts";

const filesystemShape = z.strictObject({
  driver: z.literal("filesystem"),
  /** Relative to the data directory. */
  path: z.string().min(1).optional(),
  transfer: z.enum(["file", "stream"]).default("file"),
});

const s3Shape = z
  .strictObject({
    driver: z.literal("s3"),
    bucket: z.string().min(1),
    prefix: z.string().default(""),
    region: z.string().min(1).default("us-east-1"),
    endpoint: z.url({ protocol: /^https?$/ }).optional(),
    "path-style": z.boolean().default(false),
    ca: z.string().min(1).optional(),
    "access-key-id": z.string().min(1).optional(),
    /** A file that holds the secret: settings are shown in too many places. */
    "secret-access-key-file": z.string().min(1).optional(),
    concurrency: z.int().min(1).max(10_000).default(64),
    timeout: z.int().min(1).max(600).default(30),
  })
  .refine(
    (store) => (store["access-key-id"] === undefined) === (store["secret-access-key-file"] === undefined),
    "access-key-id and secret-access-key-file go together",
  );

/** A blob store as `berth.yaml` has it. */
export const storeShape = z.discriminatedUnion("driver", [filesystemShape, s3Shape]);

type StoreSettings = z.infer<typeof storeShape>;

/** Opens the configured blob stores; `default` is always among them. @throws Error if a file they name is not there */
export async function openStores(
  configured: Readonly<Record<string, StoreSettings>>,
  directory: DataDirectory,
): Promise<Map<string, BlobStore>> {
  const all: Record<string, StoreSettings> = { default: { driver: "filesystem", transfer: "file" }, ...configured };
  const stores = new Map<string, BlobStore>();
  for (const [name, settings] of Object.entries(all)) stores.set(name, await openStore(name, settings, directory));
  return stores;
}

async function openStore(name: string, settings: StoreSettings, directory: DataDirectory): Promise<BlobStore> {
  if (settings.driver === "filesystem") {
    const location = settings.path === undefined ? directory.store(name) : resolve(directory.path, settings.path);
    return FilesystemStore.open(name, location, settings.transfer);
  }
  // The SDK is large: who keeps blobs in files does not load it.
  const { S3Objects } = await import("../blobs/s3-objects.ts");
  const { bucket, prefix, region, endpoint, concurrency } = settings;
  const accessKeyId = settings["access-key-id"];
  const secretFile = settings["secret-access-key-file"];
  const objects = new S3Objects({
    bucket,
    prefix,
    region,
    endpoint,
    concurrency,
    pathStyle: settings["path-style"],
    timeout: settings.timeout * 1000,
    ca: settings.ca === undefined ? undefined : readFileSync(settings.ca, "utf8"),
    credentials:
      accessKeyId === undefined || secretFile === undefined
        ? undefined
        : { accessKeyId, secretAccessKey: readFileSync(secretFile, "utf8").trim() },
  });
  return new ObjectStore(name, objects);
}
