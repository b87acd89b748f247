import { ApiError } from "../../http/api-error.ts";
import type { SqlValue } from "../../metadata/statement.ts";

/** What a filter asks of the rows. */
export interface AuditCondition {
  sql: string;
  params: SqlValue[];
  /** What it asks of the time alone, where nothing outside of that is an answer. */
  time?: AuditCondition;
}

/** Fields that a filter may name, with the column or expression that holds each. */
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
  "resource.type": "'audited_resource'",
  insertid: "CAST(id AS TEXT)",
  logname: "log",
};

/** The least of each severity, and which entries have it. */
const severities: readonly [name: string, rank: number][] = [
  ["DEFAULT", 0],
  ["DEBUG", 100],
  ["INFO", 200],
  ["NOTICE", 300],
  ["WARNING", 400],
  ["ERROR", 500],
  ["CRITICAL", 600],
  ["ALERT", 700],
  ["EMERGENCY", 800],
];

const rank = `CASE WHEN json_extract(detail, '$.refused') IS NOT NULL THEN 500
  WHEN log IN ('activity', 'system_event') THEN 300 ELSE 200 END`;
const statusCode = `CASE json_extract(detail, '$.refused') WHEN 'anonymous' THEN 16 WHEN 'credential' THEN 16
  WHEN 'policy' THEN 7 WHEN 'bounds' THEN 7 ELSE 0 END`;

const orders = new Set(["=", "!=", "<", "<=", ">", ">="]);

/** A field of an entry compared with a value; names in either case. @throws ApiError INVALID_ARGUMENT */
export function comparison(field: string, operator: string, value: string): AuditCondition {
  const name = field.toLowerCase();
  if (operator === "=~" || operator === "!~")
    throw invalid(`${field}: regular expressions are not supported; ":" finds a part`);
  if (name === "timestamp" || name === "receivetimestamp") return timeCondition(operator, value);
  if (name === "severity") return severityCondition(operator, value);
  if (name === "protopayload.status.code") return numberCondition(field, statusCode, operator, value);
  const info = /^protopayload\.authorizationinfo\.(permission|resource|granted)$/.exec(name)?.[1];
  if (info !== undefined) return authorizationCondition(info, operator, value);
  const column = Object.hasOwn(textFields, name) ? textFields[name] : undefined;
  if (column === undefined) throw invalid(`the field ${field.slice(0, 100)} is not known`);
  return textCondition(name, column, operator, value);
}

/** A text that stands anywhere in who did what to what. */
export function freeText(text: string): AuditCondition {
  const anywhere = "principal || ' ' || method || ' ' || service || ' ' || resource || ' ' || detail";
  return { sql: `instr(lower(${anywhere}), ?) > 0`, params: [asciiLower(text)] };
}

function timeCondition(operator: string, value: string): AuditCondition {
  const at = Date.parse(value);
  if (Number.isNaN(at)) throw invalid(`timestamp: "${value.slice(0, 60)}" is no time in RFC 3339`);
  if (!orders.has(operator)) throw invalid(`timestamp: the operator ${operator} is not for times`);
  const condition = { sql: `at ${operator} ?`, params: [at] };
  return { ...condition, time: condition };
}

function severityCondition(operator: string, value: string): AuditCondition {
  const named = severities.find(([name, number]) => name === value.toUpperCase() || String(number) === value);
  const sign = operator === ":" ? "=" : operator;
  if (named === undefined || !orders.has(sign)) {
    throw invalid(`severity${operator}${value}: expected one of ${severities.map(([name]) => name).join(", ")}`);
  }
  return { sql: `${rank} ${sign} ?`, params: [named[1]] };
}

function numberCondition(field: string, sql: string, operator: string, value: string): AuditCondition {
  const sign = operator === ":" ? "=" : operator;
  if (!/^\d{1,9}$/.test(value) || !orders.has(sign)) throw invalid(`${field}${operator}${value}: expected a number`);
  return { sql: `${sql} ${sign} ?`, params: [Number(value)] };
}

/** One of the rights that a call took. */
function authorizationCondition(part: string, operator: string, value: string): AuditCondition {
  if (!["=", "!=", ":"].includes(operator))
    throw invalid(`authorizationInfo.${part}: the operator ${operator} is for times and numbers`);
  const isFlag = part === "granted";
  const found = operator === ":" && !isFlag ? `instr(lower(${part}), ?) > 0` : `${part} = ?`;
  return {
    sql: `${operator === "!=" ? "NOT " : ""}EXISTS (SELECT 1 FROM audit_authorizations WHERE entry_id = id AND ${found})`,
    params: [isFlag ? Number(value.toLowerCase() === "true") : operator === ":" ? asciiLower(value) : value],
  };
}

function textCondition(name: string, column: string, operator: string, value: string): AuditCondition {
  if (operator === ":" && value === "*") return { sql: `${column} IS NOT NULL AND ${column} <> ''`, params: [] };
  if (name === "logname") return logCondition(operator, value);
  if (operator === ":") return { sql: `instr(lower(${column}), ?) > 0`, params: [asciiLower(value)] };
  if (operator !== "=" && operator !== "!=")
    throw invalid(`${name}: the operator ${operator} is for times and numbers only`);
  if (operator === "!=") {
    const { sql, params } = textCondition(name, column, "=", value);
    return { sql: `(${sql}) IS NOT TRUE`, params };
  }
  if (name.endsWith("principalemail")) {
    return { sql: `principal IN (?, ?)`, params: [`user:${value}`, `serviceAccount:${value}`] };
  }
  if (name.endsWith("resourcename"))
    // As Google writes it, without the service in front.
    return {
      sql: `(resource = ? OR (resource LIKE '//%' AND substr(resource, 3 + instr(substr(resource, 3), '/')) = ?))`,
      params: [value, value],
    };
  return { sql: `${column} = ?`, params: [value] };
}

/** `projects/P/logs/cloudaudit.googleapis.com%2Factivity`, or the end of it. */
function logCondition(operator: string, value: string): AuditCondition {
  if (!["=", "!=", ":"].includes(operator))
    throw invalid(`logName: the operator ${operator} is for times and numbers only`);
  let name: string;
  try {
    name = decodeURIComponent(value);
  } catch {
    throw invalid(`logName: "${value.slice(0, 100)}" has a percent sign that means nothing`);
  }
  const log = name.slice(name.lastIndexOf("/") + 1);
  if (operator === ":") return { sql: "instr('cloudaudit.googleapis.com/' || log, ?) > 0", params: [log] };
  return { sql: `${operator === "!=" ? "NOT " : ""}log = ?`, params: [log] };
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `filter: ${message}.`);
}

/** As the database's `lower` does it, on which no locale has a say. */
export function asciiLower(text: string): string {
  return text.replaceAll(/[A-Z]+/g, (letters) => letters.toLowerCase());
}
