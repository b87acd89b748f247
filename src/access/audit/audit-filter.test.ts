import { afterAll, beforeAll, expect, test } from "bun:test";
import fc from "fast-check";
import { ApiError } from "../../http/api-error.ts";
import { migrate } from "../../metadata/migrate.ts";
import { SqliteConnection } from "../../metadata/sqlite.ts";
import { all, run } from "../../metadata/statement.ts";
import { parseAuditFilter } from "./audit-filter.ts";

let connection: SqliteConnection;

/** What each entry is told by. */
const entries: Record<string, { log: string; principal: string; method: string; at: number; refused?: string }> = {
  made: { log: "activity", principal: "user:ann@example.com", method: "CreateThing", at: 1000 },
  read: {
    log: "data_access",
    principal: "serviceAccount:robot@p.iam.gserviceaccount.com",
    method: "GetThing",
    at: 2000,
  },
  refused: { log: "policy", principal: "user:bob@example.com", method: "GetThing", at: 3000, refused: "policy" },
  purged: { log: "system_event", principal: "", method: "Purge", at: 4000 },
};

beforeAll(() => {
  connection = new SqliteConnection(":memory:", "write");
  migrate(connection);
  for (const [id, { log, principal, method, at, refused }] of Object.entries(entries)) {
    connection.run(
      run(
        `INSERT INTO audit_log (at, principal, method, resource, request_id, client_address, detail, log, project_id, authorization)
           VALUES (?, ?, ?, ?, '', '', ?, ?, 'p', ?)`,
        at,
        principal,
        method,
        `//x.googleapis.com/things/${id}`,
        JSON.stringify({ ...(refused && { refused }) }),
        log,
        JSON.stringify([{ resource: `//x/${id}`, permission: `things.${id}`, granted: refused === undefined }]),
      ),
    );
  }
});

afterAll(() => connection.close());

function found(filter: string): string {
  const { sql, params } = parseAuditFilter(filter);
  const rows = connection.run(
    all<{ resource: string }>(`SELECT resource FROM audit_log WHERE ${sql} ORDER BY at`, ...params),
  );
  return rows.map(({ resource }) => resource.split("/").at(-1)).join(" ");
}

test.each([
  ["", "made read refused purged"],
  ['protoPayload.methodName="GetThing"', "read refused"],
  ['protoPayload.methodName = "GetThing" protoPayload.authenticationInfo.principalEmail:"bob"', "refused"],
  ['protoPayload.methodName="GetThing" AND timestamp>="1970-01-01T00:00:03Z"', "refused"],
  ["timestamp<1970-01-01T00:00:02Z", "made"],
  ["timestamp < 1970-01-01T00:00:02Z", "made"],
  ['timestamp >= "1970-01-01T00:00:02Z" AND timestamp < 1970-01-01T00:00:04Z', "read refused"],
  ["NOT severity=ERROR -- the rest\n# and no more", "made read purged"],
  ["-timestamp<1970-01-01T00:00:02Z", "read refused purged"],
  ['NOT protoPayload.status.code=7 AND NOT resource.labels.project_id="q"', "made read purged"],
  ['protoPayload.resourceName="things/%"', ""],
  ['protoPayload.resourceName="things/made"', "made"],
  ['protoPayload.resourceName="made"', ""],
  ['protoPayload.methodName="Purge" OR protoPayload.methodName="CreateThing"', "made purged"],
  ['protoPayload.methodName=("Purge" OR "CreateThing")', "made purged"],
  // OR binds closer than AND.
  ['severity=ERROR OR severity=INFO AND protoPayload.authenticationInfo.principalEmail:"bob"', "refused"],
  ['NOT protoPayload.methodName="GetThing"', "made purged"],
  ['-protoPayload.methodName="GetThing"', "made purged"],
  ['NOT (severity="ERROR" OR severity="INFO")', "made purged"],
  ["severity>=NOTICE", "made refused purged"],
  ["severity>INFO severity<ERROR", "made purged"],
  ["severity!=NOTICE", "read refused"],
  ["severity=DEFAULT", ""],
  ['log_id("cloudaudit.googleapis.com/activity")', "made"],
  ['logName="projects/p/logs/cloudaudit.googleapis.com%2Fdata_access"', "read"],
  ['logName:"cloudaudit.googleapis.com"', "made read refused purged"],
  ['logName:"activity"', "made"],
  ["protoPayload.status.code=7", "refused"],
  ["protoPayload.status.code!=0", "refused"],
  ['protoPayload.authorizationInfo.permission="things.read"', "read"],
  ['protoPayload.authorizationInfo.permission:"things"', "made read refused purged"],
  ["protoPayload.authorizationInfo.granted=false", "refused"],
  ['resource.type="audited_resource"', "made read refused purged"],
  ['resource.type="gce_instance"', ""],
  ['"creaTE"', "made"],
  ["bob", "refused"],
  ["protoPayload.authenticationInfo.principalEmail:*", "made read refused"],
  ["-- all of them\nseverity=ERROR", "refused"],
])("%p finds %p", (filter, expected) => {
  expect(found(filter)).toBe(expected);
});

test.each([
  "nonsense=1",
  "severity=LOUD",
  "severity=",
  "= 1",
  "(severity=ERROR",
  "severity=ERROR)",
  'protoPayload.methodName=~"x"',
  'logName="x%zz"',
  "timestamp>yesterday",
  "protoPayload.status.code=seven",
  'log_id("a"',
  '"open',
  "NOT",
  "severity=ERROR OR",
  "(".repeat(30) + "severity=ERROR" + ")".repeat(30),
  "NOT ".repeat(30) + "severity=ERROR",
  "a ".repeat(101),
  "x".repeat(20_001),
])("%p is refused", (filter) => {
  expect(() => parseAuditFilter(filter)).toThrow(ApiError);
});

test("whatever comes in, it is refused or it is SQL", () => {
  const pieces = [
    "severity",
    "=",
    ">=",
    ":",
    "(",
    ")",
    "OR",
    "AND",
    "NOT",
    "-",
    '"a"',
    "timestamp",
    "2024-01-01T00:00:00Z",
    "log_id",
    "'",
    ";",
    "--",
    "%",
  ];
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(fc.constantFrom(...pieces)).map((list) => list.join(" ")),
      ),
      (filter) => {
        try {
          found(filter);
        } catch (error) {
          expect(error).toBeInstanceOf(ApiError);
        }
      },
    ),
    { numRuns: 3000 },
  );
});

test.each([
  ["more than 5 texts without a field", "a b c d e f"],
  ["more than 50 comparisons", Array.from({ length: 51 }, () => "-severity=INFO").join(" ")],
  ["is no value", "severity=-x"],
])("what would cost too much, or was not understood, is refused: %s", (message, filter) => {
  expect(() => parseAuditFilter(filter)).toThrow(message);
});
