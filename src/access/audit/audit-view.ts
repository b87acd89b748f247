import { emailOf } from "../../names/principals.ts";
import type { ProjectId } from "../../names/reference.ts";

/** A row of the audit log. */
export interface AuditRow {
  id: number;
  at: number;
  principal: string;
  method: string;
  resource: string;
  request_id: string;
  client_address: string;
  detail: string;
  log: string;
  project_id: ProjectId | null;
  service: string;
  user_agent: string;
  key_id: string;
  delegation: string;
  authorization: string;
  count: number;
  first_at: number | null;
}

export const auditColumns =
  "id, at, principal, method, resource, request_id, client_address, detail, log, project_id, service, user_agent, " +
  'key_id, delegation, "authorization", count, first_at';

/** What a denial is in Google's words, by why it was refused. */
const refusals: Record<string, { code: number; message: string }> = {
  anonymous: { code: 16, message: "UNAUTHENTICATED" },
  credential: { code: 16, message: "UNAUTHENTICATED: the credential was not valid" },
  bounds: { code: 7, message: "PERMISSION_DENIED: the credential was made for less" },
  policy: { code: 7, message: "PERMISSION_DENIED" },
};

const changes = new Set(["activity", "system_event"]);

/** An entry as Cloud Logging shows those of Cloud Audit Logs. [google.cloud.audit.AuditLog; LogEntry] */
export function viewEntry(row: AuditRow, organization: string): object {
  const detail = JSON.parse(row.detail) as { refused?: string };
  const delegation = JSON.parse(row.delegation) as string[];
  const parent = row.project_id === null ? `organizations/${organization}` : `projects/${row.project_id}`;
  const email = emailOf(row.principal);
  const denied = detail.refused === undefined ? undefined : refusals[detail.refused];
  return {
    logName: `${parent}/logs/cloudaudit.googleapis.com%2F${row.log}`,
    insertId: String(row.id),
    timestamp: new Date(row.at).toISOString(),
    severity: denied === undefined ? (changes.has(row.log) ? "NOTICE" : "INFO") : "ERROR",
    resource: {
      type: "audited_resource",
      labels: {
        service: row.service,
        method: row.method,
        ...(row.project_id !== null && { project_id: row.project_id }),
      },
    },
    ...(row.count > 1 && {
      labels: { "berth/count": String(row.count), "berth/first": new Date(row.first_at ?? row.at).toISOString() },
    }),
    protoPayload: {
      "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
      serviceName: row.service,
      methodName: row.method,
      resourceName: row.resource.replace(/^\/\/[^/]+\//, ""),
      authenticationInfo: {
        ...(email !== undefined && { principalEmail: email }),
        ...(row.principal !== "" && { principalSubject: row.principal }),
        ...(row.key_id !== "" && {
          serviceAccountKeyName: `//iam.googleapis.com/projects/-/serviceAccounts/${email}/keys/${row.key_id}`,
        }),
        ...(delegation.length > 0 && {
          serviceAccountDelegationInfo: delegation.map((member) => ({
            firstPartyPrincipal: { principalEmail: emailOf(member) ?? member },
          })),
        }),
      },
      authorizationInfo: (
        JSON.parse(row.authorization) as { resource: string; permission: string; granted: boolean }[]
      ).map((info) => ({ ...info, resource: info.resource.replace(/^\/\/[^/]+\//, "") })),
      requestMetadata: {
        callerIp: row.client_address,
        callerSuppliedUserAgent: row.user_agent,
        requestId: row.request_id,
      },
      ...(denied !== undefined && { status: denied }),
      metadata: detail,
    },
  };
}
