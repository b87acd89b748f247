import type { Berth } from "./berth.ts";

/** A provider of a workload identity pool, as tests make it. */
export interface ProviderSettings {
  issuerUri: string;
  attributeMapping: Record<string, string>;
  attributeCondition?: string;
  allowedAudiences?: string[];
  jwksJson?: string;
}

export const pools = "/v1/projects/my-project/locations/global/workloadIdentityPools";

/** A call of an API as JSON, by the admin. */
export async function callApi(
  berth: Berth,
  method: string,
  path: string,
  body?: object,
): Promise<{ status: number; body: unknown }> {
  const init = { method, headers: { "content-type": "application/json" } };
  const reply = await berth.fetch(path, body === undefined ? init : { ...init, body: JSON.stringify(body) });
  return { status: reply.status, body: await reply.json() };
}

/** The same where nothing else than success will do. */
export async function mustCall<T = Record<string, unknown>>(...call: Parameters<typeof callApi>): Promise<T> {
  const { status, body } = await callApi(...call);
  if (status !== 200) throw new Error(`${call[1]} ${call[2]}: ${status} ${JSON.stringify(body)}`);
  return body as T;
}

/** Makes a pool with one provider in `my-project`; answers the pool's name, `projects/NUMBER/…/POOL`. */
export async function makePool(berth: Berth, pool: string, provider: ProviderSettings): Promise<string> {
  const made = await mustCall<{ response: { name: string } }>(
    berth,
    "POST",
    `${pools}?workloadIdentityPoolId=${pool}`,
    {},
  );
  await mustCall(berth, "POST", `${pools}/${pool}/providers?workloadIdentityPoolProviderId=provider`, bodyOf(provider));
  return made.response.name;
}

export function bodyOf({ attributeMapping, attributeCondition, ...oidc }: ProviderSettings): object {
  return { attributeMapping, ...(attributeCondition !== undefined && { attributeCondition }), oidc };
}

const tokenType = "urn:ietf:params:oauth:token-type";

/** Exchanges a token for one of a pool's principals. */
export async function exchange(
  berth: Berth,
  pool: string,
  subjectToken: string,
  more: Record<string, string> = {},
): Promise<{ status: number; body: { access_token: string; error?: string; error_description?: string } }> {
  const form = {
    grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
    audience: `//iam.googleapis.com/${pool}/providers/provider`,
    scope: "https://www.googleapis.com/auth/cloud-platform",
    requested_token_type: `${tokenType}:access_token`,
    subject_token_type: `${tokenType}:jwt`,
    subject_token: subjectToken,
    ...more,
  };
  const reply = await fetch(`${berth.url}/v1/token`, { method: "POST", body: new URLSearchParams(form) });
  return { status: reply.status, body: (await reply.json()) as { access_token: string } };
}
