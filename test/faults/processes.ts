import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** The processes of a running server. */
export interface ServerProcesses {
  supervisor: number;
  api: number[];
  background: number[];
}

/** Who is who below a supervisor: the API processes are those that listen. */
export function serverProcesses(supervisor: number, port: number): ServerProcesses {
  const listening = listeningSockets(port);
  const found: ServerProcesses = { supervisor, api: [], background: [] };
  for (const child of children(supervisor)) {
    const listens = openFiles(child).some((file) => listening.has(file));
    found[listens ? "api" : "background"].push(child);
  }
  return found;
}

function children(pid: number): number[] {
  const text = readProc(`${pid}/task/${pid}/children`) ?? "";
  return text.split(" ").filter(Boolean).map(Number).filter(isAlive);
}

/** Whether a process runs. One that is dead and was not waited for does not. */
export function isAlive(pid: number): boolean {
  const state = /^State:\s+(\w)/m.exec(readProc(`${pid}/status`) ?? "")?.[1];
  return state !== undefined && state !== "Z" && state !== "X";
}

/** Processes of a group that are alive. */
export function groupMembers(group: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      // After the program's name, which may hold anything: state, parent, group.
      const fields = (readProc(`${pid}/stat`) ?? "").replace(/^.*\) /s, "").split(" ");
      return Number(fields[2]) === group && fields[0] !== "Z" && fields[0] !== "X";
    });
}

/** What each descriptor of a process is: a path, or as `socket:[123]`. */
export function openFiles(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/** Memory of a process that is its own, in bytes: without the files that it maps. */
export function ownMemory(pid: number): number {
  const kibibytes = /^RssAnon:\s+(\d+) kB/m.exec(readProc(`${pid}/status`) ?? "")?.[1];
  if (kibibytes === undefined) throw new Error(`process ${pid} is gone`);
  return Number(kibibytes) * 1024;
}

function listeningSockets(port: number): Set<string> {
  const sockets = new Set<string>();
  for (const line of `${readProc("net/tcp") ?? ""}\n${readProc("net/tcp6") ?? ""}`.split("\n")) {
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state === "0A" && local?.endsWith(`:${port.toString(16).toUpperCase().padStart(4, "0")}`))
      sockets.add(`socket:[${inode}]`);
  }
  return sockets;
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(`/proc/${path}`, "utf8");
  } catch {
    // The process is gone.
    return undefined;
  }
}
