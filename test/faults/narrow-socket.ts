import { dlopen } from "bun:ffi";

const libc = dlopen("libc.so.6", {
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "isize" },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "isize" },
  close: { args: ["i32"], returns: "i32" },
}).symbols;

const [AF_INET, SOCK_STREAM, IPPROTO_TCP, SOL_SOCKET] = [2, 1, 6, 1];
const [SO_RCVBUF, TCP_MAXSEG, MSG_DONTWAIT] = [8, 2, 0x40];

/**
 * A connection to this machine whose client takes a few bytes at a time. The kernel must be kept from taking more in
 * its stead: on loopback it would buffer megabytes, and tell the server of room only by the 64 KiB.
 */
export class NarrowSocket {
  readonly #fd: number;

  constructor(port: number) {
    this.#fd = libc.socket(AF_INET, SOCK_STREAM, 0);
    // The least that it grants: some 2 KiB, in segments of 536 bytes.
    libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUF, new Int32Array([1]), 4);
    libc.setsockopt(this.#fd, IPPROTO_TCP, TCP_MAXSEG, new Int32Array([536]), 4);
    const address = Buffer.alloc(16);
    address.writeUInt16LE(AF_INET, 0);
    address.writeUInt16BE(port, 2);
    address.writeUInt32BE(0x7f000001, 4);
    if (libc.connect(this.#fd, address, 16) !== 0) throw new Error(`nobody listens on port ${port}`);
  }

  send(text: string): void {
    const bytes = Buffer.from(text);
    if (Number(libc.send(this.#fd, bytes, bytes.length, 0)) !== bytes.length) throw new Error("not all was sent");
  }

  /** At most `most` bytes of what has come, without waiting; `undefined` once the connection is over. */
  take(most: number): Buffer | undefined {
    const bytes = Buffer.alloc(most);
    const taken = Number(libc.recv(this.#fd, bytes, most, MSG_DONTWAIT));
    // Less than 0 may be "nothing yet" or an error; an error is told once, then the end is.
    if (taken === 0) return undefined;
    return bytes.subarray(0, Math.max(taken, 0));
  }

  close(): void {
    libc.close(this.#fd);
  }
}
