import { Client, credentials, type ServiceError } from "@grpc/grpc-js";

/** The credentials of a pull, as a kubelet finds them in a pull secret. */
export interface PullCredentials {
  username: string;
  password: string;
}

/**
 * Pulls an image as a kubelet does: by the Container Runtime Interface. Answers the image's id.
 * [cri-api, runtime/v1/api.proto, ImageService.PullImage]
 * @throws Error with the runtime's words
 */
export async function criPull(socket: string, image: string, auth: PullCredentials | undefined): Promise<string> {
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  const spec = field(1, Buffer.from(image));
  const authConfig =
    auth && Buffer.concat([field(1, Buffer.from(auth.username)), field(2, Buffer.from(auth.password))]);
  const request = Buffer.concat([field(1, spec), ...(authConfig === undefined ? [] : [field(2, authConfig)])]);
  try {
    const reply = await new Promise<Buffer>((resolve, reject) => {
      const same = (bytes: Buffer): Buffer => bytes;
      const done = (error: ServiceError | null, value?: Buffer): void =>
        error === null ? resolve(value as Buffer) : reject(new Error(error.details));
      client.makeUnaryRequest("/runtime.v1.ImageService/PullImage", same, same, request, done);
    });
    // The reply has one field, image_ref, a text of fewer than 128 bytes.
    return reply.subarray(2).toString("utf8");
  } finally {
    client.close();
  }
}

/** A field of bytes in the wire format of Protocol Buffers. */
function field(number: number, bytes: Buffer): Buffer {
  const length: number[] = [];
  for (let rest = bytes.length; ; rest >>= 7) {
    if (rest < 0x80) {
      length.push(rest);
      break;
    }
    length.push((rest & 0x7f) | 0x80);
  }
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...length]), bytes]);
}
