import { resolve } from "node:path";
import { type CliCommand, UsageError } from "./command.ts";

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
  "pubsub",
  "sts",
];

export const gcloudEnv: CliCommand = {
  name: "gcloud-env",
  summary: "print the settings that point an unmodified gcloud at a server",
  help: () =>
    "berth gcloud-env [--server URL] [--ca FILE] [--project ID]\n\n" +
    'Prints variables for a shell: eval "$(berth gcloud-env)". --server is http://localhost:5000 unless given;\n' +
    "--ca is the server's CA certificate where it uses one of its own.\n",
  run(args) {
    const flags = readFlags(args);
    const server = flags.get("--server") ?? "http://localhost:5000";
    if (!/^https?:\/\/[A-Za-z0-9.:[\]-]+$/.test(server))
      throw new UsageError("--server: expected http[s]://HOST[:PORT]");
    const ca = flags.get("--ca");
    const settings: [string, string][] = [
      ["CLOUDSDK_CORE_PROJECT", flags.get("--project") ?? "my-project"],
      ["CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"],
      ["CLOUDSDK_AUTH_TOKEN_HOST", `${server}/token`],
      ["CLOUDSDK_ARTIFACTS_ALLOW_UNRECOGNIZED_REGISTRY", "true"],
      ...(ca === undefined ? [] : [["CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", resolve(ca)] as [string, string]]),
      ...apis.map((api): [string, string] => [`CLOUDSDK_API_ENDPOINT_OVERRIDES_${api.toUpperCase()}`, `${server}/`]),
    ];
    for (const [name, value] of settings) console.log(`export ${name}='${value.replaceAll("'", "'\\''")}'`);
    // These beat gcloud's own setting for the CA.
    if (ca !== undefined) console.log("unset REQUESTS_CA_BUNDLE CURL_CA_BUNDLE");
    return Promise.resolve(0);
  },
};

function readFlags(args: readonly string[]): Map<string, string> {
  const flags = new Map<string, string>();
  for (let i = 0; i < args.length; i += 2) {
    const [flag, value] = [args[i] as string, args[i + 1]];
    if (!["--server", "--ca", "--project"].includes(flag))
      throw new UsageError(`berth gcloud-env has no option ${flag}`);
    if (value === undefined) throw new UsageError(`${flag} needs a value`);
    flags.set(flag, value);
  }
  return flags;
}
