import { randomBytes } from "node:crypto";

/**
 * A value that no policy or role has had before, in padded base64, which gcloud's library insists on; without the
 * two letters that it writes in another way when it sends the value back.
 */
export function newEtag(): string {
  for (;;) {
    const etag = randomBytes(8).toString("base64");
    if (!/[+/]/.test(etag)) return etag;
  }
}
