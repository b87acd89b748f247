import { resolve } from "node:path";
import { type CliCommand, UsageError } from "./command.ts";
import { readFlags } from "./flags.ts";

/** The APIs that gcloud reaches under an address of its own. [gcloud topic configurations, api_endpoint_overrides] */
const apis = [
  "storage",
  "cloudresourcemanager",
  "iam",
  "iamcredentials",
  "containeranalysis",
  "ondemandscanning",
  "binaryauthorization",
  "accesscontextmanager",
  "artifactregistry",
  "serviceusage",
  "cloudasset",
  "logging",
  "pubsub",
  "sts",
];

type Setting = [name: string, value: string];

export const gcloudEnv: CliCommand = {
  name: "gcloud-env",
  summary: "print the settings that point an unmodified gcloud at a server",
  help: () =>
    "berth gcloud-env [--server URL] [--ca FILE] [--project ID]\n\n" +
    'Prints variables for a shell: eval "$(berth gcloud-env)". --server is http://localhost:5000 unless given;\n' +
    "--ca is the server's CA certificate where it uses one of its own. With these gcloud's APIs are the server's;\n" +
    "for images under their true names, gcr.io/PROJECT/IMAGE, see `berth help gcloud-proxy`.\n",
  run(args) {
    const flags = readFlags("gcloud-env", ["--server", "--ca", "--project"], args);
    const server = flags.get("--server") ?? "http://localhost:5000";
    if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+$/.test(server))
      throw new UsageError("--server: expected http[s]://HOST[:PORT]");
    printSettings([
      ...gcloudSettings({ project: flags.get("--project"), ca: flags.get("--ca") }),
      ["CLOUDSDK_AUTH_TOKEN_HOST", `${server}/token`],
      ["CLOUDSDK_AUTH_AUTH_HOST", `${server}/o/oauth2/v2/auth`],
      ["CLOUDSDK_ARTIFACTS_ALLOW_UNRECOGNIZED_REGISTRY", "true"],
      // On the machine itself there may be no TLS; `gcloud auth login` insists on it else.
      ...(/^http:\/\/(?:localhost|127\.[\d.]+|\[::1\])(?::\d+)?$/.test(server)
        ? [["OAUTHLIB_INSECURE_TRANSPORT", "1"] as Setting]
        : []),
      ...apis.map((api): Setting => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api.toUpperCase()}`, `${server}/`]),
    ]);
    return Promise.resolve(0);
  },
};

/** What gcloud needs in either way. */
export function gcloudSettings({ project, ca }: { project: string | undefined; ca: string | undefined }): Setting[] {
  return [
    ["CLOUDSDK_CORE_PROJECT", project ?? "my-project"],
    ["CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"],
    ...(ca === undefined ? [] : [["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", resolve(ca)] as Setting]),
  ];
}

/** As a shell's `eval` takes them. */
export function printSettings(settings: readonly Setting[]): void {
  for (const [name, value] of settings) console.log(`export ${name}='${value.replaceAll("'", "'\\''")}'`);
  // These beat gcloud's own setting for the CA.
  const hasCa = settings.some(([name]) => name === "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE");
  if (hasCa) console.log("unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE");
}
