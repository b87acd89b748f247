import { ApiError } from "../../http/api-error.ts";
import type { SqlValue } from "../../metadata/statement.ts";

const maxFilter = 20_000;
const maxTerms = 50;

/** What a filter asks of the rows. */
export interface AuditCondition {
  sql: string;
  params: SqlValue[];
}

/** Fields that a filter may name, with the column that holds each. */
const textFields: Record<string, string> = {
  "protopayload.authenticationinfo.principalemail": "principal",
  "protopayload.authenticationinfo.principalsubject": "principal",
  "protopayload.methodname": "method",
  "protopayload.servicename": "service",
  "protopayload.resourcename": "resource",
  "protopayload.requestmetadata.callerip": "client_address",
  "protopayload.requestmetadata.callersupplieduseragent": "user_agent",
  "resource.labels.project_id": "project_id",
  "resource.labels.service": "service",
  "resource.labels.method": "method",
  insertid: "id",
  logname: "log",
};

const severities: Record<string, string> = {
  ERROR: "json_extract(detail, '$.refused') IS NOT NULL",
  NOTICE: "log IN ('activity', 'system_event')",
  INFO: "log = 'data_access'",
};

/**
 * The filter of `entries.list`: comparisons joined by AND (or by a new line) of a field of the entry, `timestamp`,
 * `severity` or `logName` with a value: `=`, `!=`, `:` (contains), and for times `<`, `<=`, `>`, `>=`. What this does
 * not know is refused: a filter that was not understood must not show everything. [Cloud Logging, "Logging query language"]
 * @throws ApiError INVALID_ARGUMENT
 */
export function parseAuditFilter(text: string): AuditCondition {
  if (text.length > maxFilter) throw invalid(`more than ${maxFilter} characters`);
  const terms = termsOf(text);
  if (terms.length > maxTerms) throw invalid(`more than ${maxTerms} comparisons`);
  const conditions = terms.map(parseTerm);
  return {
    sql: conditions.map(({ sql }) => `(${sql})`).join(" AND ") || "1 = 1",
    params: conditions.flatMap(({ params }) => params),
  };
}

const comparison = /\s*([A-Za-z@][\w.@-]*)\s*(>=|<=|!=|=~|=|:|<|>)\s*("(?:[^"\\]|\\.)*"|[^\s"()]+)\s*/y;

function termsOf(text: string): [string, string, string][] {
  const terms: [string, string, string][] = [];
  let position = 0;
  while (position < text.length) {
    const rest = text.slice(position);
    const joint = /^\s*(?:AND\b)?\s*/.exec(rest)?.[0] ?? "";
    position += terms.length > 0 ? joint.length : (/^\s*/.exec(rest)?.[0].length ?? 0);
    if (position >= text.length) break;
    comparison.lastIndex = position;
    const match = comparison.exec(text);
    if (match === null)
      throw invalid(`"${text.slice(position, position + 60)}" is no comparison; write FIELD="VALUE", joined by AND`);
    terms.push([match[1] as string, match[2] as string, unquote(match[3] as string)]);
    position = comparison.lastIndex;
  }
  return terms;
}

function unquote(value: string): string {
  return value.startsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, "$1") : value;
}

function parseTerm([field, operator, value]: [string, string, string]): AuditCondition {
  const name = field.toLowerCase();
  if (name === "timestamp") return timeCondition(operator, value);
  if (name === "severity") {
    const sql = severities[value.toUpperCase()];
    if (sql === undefined || operator !== "=")
      throw invalid(`severity${operator}${value}: expected = and ERROR, NOTICE or INFO`);
    return { sql, params: [] };
  }
  const column = Object.hasOwn(textFields, name) ? textFields[name] : undefined;
  if (column === undefined) throw invalid(`the field ${field.slice(0, 100)} is not known`);
  return textCondition(name, column, operator, value);
}

function timeCondition(operator: string, value: string): AuditCondition {
  const at = Date.parse(value);
  if (Number.isNaN(at)) throw invalid(`timestamp: "${value.slice(0, 60)}" is no time in RFC 3339`);
  if (!["<", "<=", ">", ">=", "="].includes(operator))
    throw invalid(`timestamp: the operator ${operator} is not for times`);
  return { sql: `at ${operator} ?`, params: [at] };
}

function textCondition(name: string, column: string, operator: string, value: string): AuditCondition {
  if (operator === ":") return { sql: `instr(lower(${column}), lower(?)) > 0`, params: [value] };
  if (operator !== "=" && operator !== "!=") throw invalid(`${name}: the operator ${operator} is for times only`);
  const not = operator === "!=" ? "NOT " : "";
  if (name === "logname") {
    return {
      sql: `${not}log = ?`,
      params: [decodeURIComponent(value.slice(value.lastIndexOf("/") + 1)).replace(/^.*\//, "")],
    };
  }
  if (name.endsWith("principalemail")) {
    return { sql: `${not}principal IN (?, ?)`, params: [`user:${value}`, `serviceAccount:${value}`] };
  }
  if (name.endsWith("resourcename"))
    return { sql: `${not}(resource = ? OR resource LIKE '//%/' || ?)`, params: [value, value] };
  return { sql: `${not}${column} = ?`, params: [value] };
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `filter: ${message}.`);
}
