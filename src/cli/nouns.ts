import type { Noun } from "./noun.ts";
import { adminNoun } from "./nouns/admin.ts";
import { auditNoun } from "./nouns/audit.ts";
import { groupNoun } from "./nouns/group.ts";
import { iamNoun } from "./nouns/iam.ts";
import { keyNoun } from "./nouns/key.ts";
import { notificationsNoun } from "./nouns/notifications.ts";
import { projectNoun } from "./nouns/project.ts";
import { roleNoun } from "./nouns/role.ts";
import { serviceAccountNoun } from "./nouns/service-account.ts";
import { tokenNoun } from "./nouns/token.ts";
import { userNoun } from "./nouns/user.ts";

/** The table of commands: all that can be managed from the command line. */
export const nouns: readonly Noun[] = [
  projectNoun,
  serviceAccountNoun,
  keyNoun,
  iamNoun,
  roleNoun,
  userNoun,
  groupNoun,
  notificationsNoun,
  auditNoun,
  tokenNoun,
  adminNoun,
];
