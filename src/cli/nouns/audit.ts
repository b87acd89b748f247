import { auditFilter, filterFlags } from "../audit-filter.ts";
import { UsageError } from "../command.ts";
import type { Flag, Input, Noun } from "../noun.ts";
import { eitherScope, organizationId } from "../organization.ts";
import { type Column, listResult } from "../results.ts";
import { projectOf, type ServerClient } from "../server-client.ts";
import { writeLines } from "../write-lines.ts";

/** [LogEntry; google.cloud.audit.AuditLog] */
interface Entry {
  timestamp: string;
  severity: string;
  labels?: Record<string, string>;
  protoPayload: {
    methodName: string;
    resourceName: string;
    authenticationInfo: { principalSubject?: string };
  };
}

const columns: Column<Entry>[] = [
  ["TIME", ({ timestamp }) => timestamp],
  ["WHO", ({ protoPayload }) => protoPayload.authenticationInfo.principalSubject],
  ["METHOD", ({ protoPayload }) => protoPayload.methodName.replace(/^.*\.(?=\w+\.\w+$)/, "")],
  ["RESOURCE", ({ protoPayload }) => protoPayload.resourceName],
  ["RESULT", ({ severity }) => (severity === "ERROR" ? "refused" : "done")],
  ["TIMES", ({ labels }) => labels?.["berth/count"] ?? "1"],
];

const scopeFlags: readonly Flag[] = eitherScope(
  "Of a project; else of the key file's.",
  "Of the whole server: the organization with all of its projects.",
);

const least = 1;
const pageSize = 1000;

export const auditNoun: Noun = {
  name: "audit",
  summary: "the audit log: who did what, and who was refused",
  verbs: [
    {
      name: "read",
      summary: "Shows the newest entries, the newest first.",
      flags: [
        ...scopeFlags,
        ...filterFlags,
        { name: "limit", placeholder: "N", doc: "How many entries at most; 50 unless given." },
      ],
      async run(input, server) {
        const limit = readLimit(input) ?? 50;
        const filter = auditFilter(input, Date.now());
        return listResult(await readEntries(server, await scopeOf(input, server), filter, limit), columns);
      },
    },
    {
      name: "export",
      summary: "Writes entries as JSON lines, the oldest first: all of them, as they come.",
      output: "lines",
      flags: [...scopeFlags, ...filterFlags, { name: "limit", placeholder: "N", doc: "How many entries at most." }],
      async run(input, server) {
        const limit = readLimit(input);
        const query = { resource: await scopeOf(input, server), filter: auditFilter(input, Date.now()) };
        await writeLines(await server.stream("/berth/v1/audit:export", query), limit);
        return undefined;
      },
    },
  ],
};

async function scopeOf(input: Input, server: ServerClient): Promise<string> {
  const organization = input.text("organization");
  if (organization === undefined) return `projects/${projectOf(input, server)}`;
  return `organizations/${await organizationId(server, organization)}`;
}

function readLimit({ text }: Input): number | undefined {
  const written = text("limit");
  if (written === undefined) return undefined;
  const limit = /^\d{1,9}$/.test(written) ? Number(written) : 0;
  if (limit < least) throw new UsageError(`--limit: ${written} is no number of entries`);
  return limit;
}

/** [Cloud Logging API v2, entries.list] */
async function readEntries(server: ServerClient, scope: string, filter: string, limit: number): Promise<Entry[]> {
  const entries: Entry[] = [];
  let pageToken: string | undefined;
  do {
    const wanted = Math.min(limit - entries.length, pageSize);
    const body = { resourceNames: [scope], filter, orderBy: "timestamp desc", pageSize: wanted, pageToken };
    const page = await server.post<{ entries?: Entry[]; nextPageToken?: string }>("/v2/entries:list", body);
    entries.push(...(page.entries ?? []));
    pageToken = page.nextPageToken;
  } while (pageToken !== undefined && entries.length < limit);
  return entries;
}
