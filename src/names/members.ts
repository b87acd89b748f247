/** A member of a policy's binding, as IAM writes it. [IAM, "Principal identifiers for allow policies"] */
export type Member = string;

/** A member, taken apart. */
export interface ParsedMember {
  kind:
    | "allUsers"
    | "allAuthenticatedUsers"
    | "user"
    | "serviceAccount"
    | "group"
    | "domain"
    | "projectOwner"
    | "projectEditor"
    | "projectViewer"
    | "principal"
    | "principalSet";
  /** E-mail address, domain, project id or pool path; empty for `allUsers` and `allAuthenticatedUsers`. */
  value: string;
  /** The unique id of a member that was deleted after it got the role. */
  deletedUid: string | undefined;
}

export const allUsers = "allUsers" satisfies Member;
export const allAuthenticatedUsers = "allAuthenticatedUsers" satisfies Member;

const maxLength = 1000;
const email = /^[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const domain = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/;
const project = /^(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{0,62}$/;
const pool =
  /^\/\/iam\.googleapis\.com\/projects\/\d{1,20}\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{1,32}\//;
const subject = new RegExp(`${pool.source}subject/[^\\s]+$`);
const set = new RegExp(`${pool.source}(?:\\*|group/[^\\s]+|attribute\\.[a-z0-9_]{1,100}/[^\\s]+)$`);

const grammar: Record<Exclude<ParsedMember["kind"], "allUsers" | "allAuthenticatedUsers">, RegExp> = {
  user: email,
  serviceAccount: email,
  group: email,
  domain,
  projectOwner: project,
  projectEditor: project,
  projectViewer: project,
  principal: subject,
  principalSet: set,
};

/** What `text` names, or `undefined` if it is no member. Addresses and domains are compared in lower case. */
export function parseMember(text: string): ParsedMember | undefined {
  if (text === allUsers || text === allAuthenticatedUsers) return { kind: text, value: "", deletedUid: undefined };
  if (text.length > maxLength) return undefined;
  const isDeleted = text.startsWith("deleted:");
  const match = /^(\w+):(.+?)(?:\?uid=(\d{1,30}))?$/.exec(isDeleted ? text.slice("deleted:".length) : text);
  if (match === null || isDeleted !== (match[3] !== undefined)) return undefined;
  const [, kind, written, deletedUid] = match as unknown as [string, keyof typeof grammar, string, string | undefined];
  if (!Object.hasOwn(grammar, kind)) return undefined;
  if (isDeleted && kind !== "user" && kind !== "serviceAccount" && kind !== "group") return undefined;
  const value = grammar[kind] === email || kind === "domain" ? written.toLowerCase() : written;
  return grammar[kind].test(value) ? { kind, value, deletedUid } : undefined;
}

/** The one spelling of a member. */
export function formatMember({ kind, value, deletedUid }: ParsedMember): Member {
  if (kind === allUsers || kind === allAuthenticatedUsers) return kind;
  return deletedUid === undefined ? `${kind}:${value}` : `deleted:${kind}:${value}?uid=${deletedUid}`;
}
