/** A program that people sign in to with their browser. */
export interface OAuthClient {
  id: string;
  name: string;
  /** Known to everybody, as those of installed programs are; what proves the client is PKCE. [RFC 8252 section 8.5] */
  secret: string | undefined;
  /** Addresses beside those of the machine itself. */
  redirects: readonly string[];
}

/** gcloud shows the code there where it has no browser; this server shows it itself. */
export const codePage = "https://sdk.cloud.google.com/authcode.html";
const applicationDefaultPage = "https://sdk.cloud.google.com/applicationdefaultauthcode.html";

/** Google's own programs, with the identities that are built into them. */
const clients: readonly OAuthClient[] = [
  {
    id: "32555940559.apps.googleusercontent.com",
    name: "Google Cloud CLI",
    secret: "ZmssLNjJy2998hD4CTg2ejr2",
    redirects: [codePage],
  },
  {
    id: "764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com",
    name: "Google Auth Library",
    secret: "d-FL95Q19q7MQmFpd7hHD0Ty",
    redirects: [applicationDefaultPage],
  },
  {
    id: "99426463878-o7n0bshgue20tdpm25q4at0vs2mr4utq.apps.googleusercontent.com",
    name: "docker-credential-gcr",
    secret: undefined,
    redirects: [],
  },
  { id: "berth-cli", name: "Berth CLI", secret: undefined, redirects: [] },
];

export function findClient(id: string): OAuthClient | undefined {
  return clients.find((client) => client.id === id);
}

/** Whether a code may be sent there: to the machine that asked, on any port, or where the client is at home. */
export function isRedirectOf(client: OAuthClient, redirect: string): boolean {
  if (client.redirects.includes(redirect)) return true;
  const url = URL.parse(redirect);
  if (url === null || url.protocol !== "http:" || url.username !== "" || url.password !== "" || url.hash !== "")
    return false;
  return ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
}

/** Whether the code is shown to be copied, and not sent. */
export function isShown(redirect: string): boolean {
  return redirect === codePage || redirect === applicationDefaultPage;
}
