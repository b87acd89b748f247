import { LRUCache } from "lru-cache";
import { compileExpression, ExpressionError } from "../../access/iam/expressions.ts";
import { ApiError } from "../../http/api-error.ts";
import { OAuthError } from "../oauth-error.ts";

/** Who a token's bearer is, as a provider's mapping reads it. */
export interface MappedIdentity {
  subject: string;
  groups: string[];
  /** Custom attributes by name, without `attribute.`. */
  attributes: Record<string, string>;
}

/** Limits of IAM. [IAM, "Workload Identity Federation", attribute mappings and conditions] */
const maxCustom = 50;
const maxExpression = 2048;
const maxCondition = 4096;
const maxSubjectBytes = 127;
const maxMappedBytes = 8 * 1024;

const targets = /^(?:google\.(?:subject|groups|display_name)|attribute\.[a-z0-9_]{1,100})$/;

/** Providers that sign for everybody in the world: without a condition each of their customers could come in. */
const sharedIssuers = new Set([
  "https://token.actions.githubusercontent.com",
  "https://gitlab.com",
  "https://app.terraform.io",
  "https://accounts.google.com",
  "https://agent.buildkite.com",
]);

interface CompiledMapping {
  /** Whether the condition depends on the token. */
  asks: boolean;
  /** @throws OAuthError invalid_grant, unauthorized_client */
  map(claims: Readonly<Record<string, unknown>>): MappedIdentity;
}

const compiled = new LRUCache<string, CompiledMapping>({ max: 1000 });

/** A provider's mapping and condition. @throws ApiError INVALID_ARGUMENT, naming what cannot be read */
export async function compileMapping(
  mapping: Readonly<Record<string, string>>,
  condition: string,
): Promise<CompiledMapping> {
  const key = JSON.stringify([mapping, condition]);
  const known = compiled.get(key);
  if (known !== undefined) return known;
  const made = await compile(mapping, condition);
  compiled.set(key, made);
  return made;
}

/** @throws ApiError INVALID_ARGUMENT */
export async function checkMapping(
  issuer: string,
  mapping: Readonly<Record<string, string>>,
  condition: string,
): Promise<void> {
  if (mapping["google.subject"] === undefined) throw invalid("attributeMapping: google.subject is not mapped");
  const names = Object.keys(mapping);
  const wrong = names.find((name) => !targets.test(name));
  if (wrong !== undefined) {
    throw invalid(
      `attributeMapping: ${wrong.slice(0, 120)} is neither google.subject, google.groups, google.display_name nor attribute.NAME of lower-case letters, digits and _`,
    );
  }
  if (names.filter((name) => name.startsWith("attribute.")).length > maxCustom) {
    throw invalid(`attributeMapping: more than ${maxCustom} custom attributes`);
  }
  const long = names.find((name) => (mapping[name] as string).length > maxExpression);
  if (long !== undefined) throw invalid(`attributeMapping.${long}: more than ${maxExpression} characters`);
  if (condition.length > maxCondition) throw invalid(`attributeCondition: more than ${maxCondition} characters`);
  const { asks } = await compileMapping(mapping, condition);
  if (sharedIssuers.has(issuer) && !asks) {
    throw invalid(
      `attributeCondition: ${issuer} signs for all of its customers: the condition must limit whose tokens are taken, such as assertion.repository_owner == "your-organization"`,
    );
  }
}

async function compile(mapping: Readonly<Record<string, string>>, condition: string): Promise<CompiledMapping> {
  const expressions = await Promise.all(
    Object.entries(mapping).map(async ([target, source]) => {
      const variables = { assertion: "map" } as const;
      const place = `attributeMapping.${target}`;
      return [target, await compiling(place, () => compileExpression(source, { variables, result: "any" }))] as const;
    }),
  );
  const variables = { assertion: "map", google: "map", attribute: "map" } as const;
  const holds =
    condition === ""
      ? undefined
      : await compiling("attributeCondition", () => compileExpression(condition, { variables, result: "bool" }));
  return {
    asks: (holds?.variables.size ?? 0) > 0,
    map(assertion) {
      const values = new Map(expressions.map(([target, { evaluate }]) => [target, evaluate({ assertion })]));
      const identity = readIdentity(values);
      const { subject, groups, attributes } = identity;
      const context = { assertion, google: { subject, groups }, attribute: attributes };
      // A condition that fails, as for a claim that is missing, does not hold.
      if (holds !== undefined && holds.evaluate(context) !== true) throw rejected();
      return identity;
    },
  };
}

async function compiling<T>(place: string, make: () => Promise<T>): Promise<T> {
  try {
    return await make();
  } catch (error) {
    if (error instanceof ExpressionError) throw invalid(`${place}: ${error.message}`);
    throw error;
  }
}

function readIdentity(values: ReadonlyMap<string, unknown>): MappedIdentity {
  const identity: MappedIdentity = { subject: "", groups: [], attributes: {} };
  let bytes = 0;
  for (const [target, value] of values) {
    bytes += Buffer.byteLength(JSON.stringify(value ?? null));
    if (target === "google.groups") {
      if (!Array.isArray(value) || !value.every((group) => isName(group))) throw unmapped(target, "a list of strings");
      identity.groups = value;
    } else if (!isName(value)) {
      throw unmapped(target, "a string");
    } else if (target === "google.subject") {
      if (Buffer.byteLength(value) > maxSubjectBytes) throw unmapped(target, `at most ${maxSubjectBytes} bytes`);
      identity.subject = value;
    } else if (target.startsWith("attribute.")) {
      identity.attributes[target.slice("attribute.".length)] = value;
    }
  }
  if (bytes > maxMappedBytes) {
    throw new OAuthError("invalid_grant", `The mapped attributes have more than ${maxMappedBytes} bytes.`);
  }
  return identity;
}

/** Fit to stand in a member's name. */
function isName(value: unknown): value is string {
  return typeof value === "string" && value !== "" && !/\p{Cc}/u.test(value);
}

function unmapped(target: string, expected: string): OAuthError {
  return new OAuthError(
    "invalid_grant",
    `The attribute mapping of ${target} does not come to ${expected} with the claims of this token.`,
  );
}

function rejected(): OAuthError {
  return new OAuthError("unauthorized_client", "The given credential is rejected by the attribute condition.");
}

function invalid(message: string): ApiError {
  return new ApiError("INVALID_ARGUMENT", `${message}.`);
}
