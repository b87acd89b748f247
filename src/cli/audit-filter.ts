import { UsageError } from "./command.ts";
import type { Flag, Input } from "./noun.ts";

/** What picks entries of the audit log. */
export const filterFlags: readonly Flag[] = [
  {
    name: "filter",
    placeholder: "FILTER",
    doc: 'In Cloud Logging\'s language: `protoPayload.methodName:"SetIamPolicy" AND severity=NOTICE`.',
  },
  { name: "from", placeholder: "TIME", doc: "The earliest: `2026-01-31`, `2026-01-31T12:00:00Z`, or `2h`, `7d` ago." },
  { name: "to", placeholder: "TIME", doc: "Before this time." },
  { name: "principal", placeholder: "WHO", doc: "Whose calls: an e-mail address, or `user:EMAIL`, `recovery:USER`, …" },
];

const units = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;

/** The filter that all of the flags make together. @throws UsageError */
export function auditFilter({ text }: Input, now: number): string {
  const [filter, from, to, principal] = ["filter", "from", "to", "principal"].map(text);
  const terms = [
    from !== undefined && `timestamp>="${readTime("from", from, now)}"`,
    to !== undefined && `timestamp<"${readTime("to", to, now)}"`,
    principal !== undefined && principalTerm(principal),
    filter,
  ];
  return terms.filter((term) => typeof term === "string").join(" AND ");
}

function principalTerm(principal: string): string {
  const field = /^[^:]+@/.test(principal) ? "principalEmail" : "principalSubject";
  return `protoPayload.authenticationInfo.${field}="${principal.replaceAll(/["\\]/g, "\\$&")}"`;
}

function readTime(flag: string, text: string, now: number): string {
  const ago = /^(\d{1,6})([smhdw])$/.exec(text);
  const time =
    ago === null
      ? /^\d{4}-\d\d-\d\d(?:T|$)/.test(text) && Date.parse(text)
      : now - Number(ago[1]) * units[ago[2] as keyof typeof units] * 1000;
  if (time === false || Number.isNaN(time)) {
    throw new UsageError(`--${flag}: ${text} is no time; write 2026-01-31, 2026-01-31T12:00:00Z or 2h`);
  }
  return new Date(time).toISOString();
}
