import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The ceiling: Bun with the bytes at hand. Run as a program of its own, as the registries are. */
const { directory, certificate } = JSON.parse(process.argv[2] as string) as {
  directory: string;
  certificate?: { cert: string; key: string };
};
const manifest = readFileSync(join(directory, "manifest.json"));
const small = readFileSync(join(directory, "small-0"));
const large = join(directory, "large");
const digest = `sha256:${"0".repeat(64)}`;
const headers = {
  "docker-content-digest": digest,
  etag: `"${digest}"`,
  "docker-distribution-api-version": "registry/2.0",
};
const manifestHeaders = { ...headers, "content-type": "application/vnd.oci.image.manifest.v1+json" };
const blobHeaders = { ...headers, "content-type": "application/octet-stream", "content-disposition": "attachment" };

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  fetch(request) {
    if (request.url.includes("/manifests/")) return new Response(manifest, { headers: manifestHeaders });
    if (request.url.includes("/blobs/large")) return new Response(Bun.file(large), { headers: blobHeaders });
    return new Response(small, { headers: blobHeaders });
  },
  ...(certificate === undefined
    ? {}
    : { tls: { cert: readFileSync(certificate.cert, "utf8"), key: readFileSync(certificate.key, "utf8") } }),
});
console.log(server.port);
