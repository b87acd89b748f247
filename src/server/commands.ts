import { recordEntries } from "../access/audit/audit-log.ts";
import { removeEntries } from "../access/audit/retention.ts";
import { changeRole, createRole } from "../access/iam/custom-roles.ts";
import { setPolicy } from "../access/iam/set-policy.ts";
import {
  dropRefreshToken,
  extendRefreshToken,
  saveCode,
  saveRefreshToken,
  takeCode,
} from "../identity/authorization-codes.ts";
import { createPool, purgePools, setPoolDeleted, updatePool } from "../identity/federation/pools.ts";
import { createProvider, setProviderDeleted, updateProvider } from "../identity/federation/providers.ts";
import { changeMember, createGroup, deleteGroup, updateGroup } from "../identity/groups.ts";
import {
  addKey,
  changeKey,
  createAccount,
  deleteAccount,
  undeleteAccount,
  updateAccount,
} from "../identity/manage-accounts.ts";
import { signInThroughProvider } from "../identity/provider-sign-in.ts";
import { forgetRevocations, revokeToken } from "../identity/revocation.ts";
import { keepSystemKey } from "../identity/system-keys.ts";
import { changePassword, createUser, deleteUser, updateUser } from "../identity/users.ts";
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
import { giveUpLease, renewLease, takeLease } from "../operations/leases.ts";
import { rotateKeys } from "../identity/key-rotation.ts";
import { addSigningKey } from "../keys/signing-keys.ts";
import { beginFollowing, notePosition, noteTopic, settleOutbox } from "../notifications/topics.ts";
import { deleteProject, undeleteProject, updateProject } from "../projects/project-commands.ts";
import { createProject } from "../projects/projects.ts";
import { purgeProject } from "../projects/purge-project.ts";
import { ensureRegistry } from "../projects/registries.ts";
import { setServices } from "../projects/services.ts";
import { completeServer, furnishServer } from "./bootstrap.ts";
import { recoverAccess } from "./recover.ts";
import type { Command } from "../metadata/database.ts";

/** Every change that can be made to the metadata: what the writing process runs by name. */
export const commands: readonly Command<never, unknown>[] = [
  addKey,
  addSigningKey,
  appendSegment,
  beginFollowing,
  cancelUpload,
  changeKey,
  changeMember,
  changePassword,
  changeRole,
  completeServer,
  createAccount,
  createGroup,
  createPool,
  createProject,
  createProvider,
  createRole,
  createUser,
  deleteAccount,
  deleteGroup,
  deleteManifest,
  deleteProject,
  deleteTag,
  deleteUser,
  dropRefreshToken,
  ensureRegistry,
  expireUploads,
  extendRefreshToken,
  finishUpload,
  forgetRevocations,
  furnishServer,
  giveUpLease,
  keepSystemKey,
  mountBlob,
  notePosition,
  noteTopic,
  purgePools,
  purgeProject,
  putManifest,
  recordEntries,
  recoverAccess,
  removeEntries,
  renewLease,
  renewUpload,
  rotateKeys,
  revokeToken,
  saveCode,
  saveRefreshToken,
  setPolicy,
  setPoolDeleted,
  setProviderDeleted,
  setServices,
  settleOutbox,
  signInThroughProvider,
  startUpload,
  takeCode,
  takeLease,
  undeleteAccount,
  undeleteProject,
  unlinkBlob,
  updateAccount,
  updateGroup,
  updatePool,
  updateProject,
  updateProvider,
  updateUser,
];
