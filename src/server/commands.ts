import { addServiceAccountKey, createServiceAccount } from "../identity/service-accounts.ts";
import { createUser } from "../identity/users.ts";
import { mountBlob, unlinkBlob } from "../images/blobs.ts";
import { deleteManifest, deleteTag } from "../images/delete-manifest.ts";
import { putManifest } from "../images/put-manifest.ts";
import {
  appendSegment,
  cancelUpload,
  expireUploads,
  finishUpload,
  renewUpload,
  startUpload,
} from "../images/upload-commands.ts";
import { addSigningKey } from "../keys/signing-keys.ts";
import type { Command } from "../metadata/database.ts";
import { createProject } from "../projects/projects.ts";
import { ensureRegistry } from "../projects/registries.ts";

/** Every change that can be made to the metadata: what the writing process runs by name. */
export const commands: readonly Command<never, unknown>[] = [
  addServiceAccountKey,
  addSigningKey,
  appendSegment,
  cancelUpload,
  createProject,
  createServiceAccount,
  createUser,
  deleteManifest,
  deleteTag,
  ensureRegistry,
  expireUploads,
  finishUpload,
  mountBlob,
  putManifest,
  renewUpload,
  startUpload,
  unlinkBlob,
];
