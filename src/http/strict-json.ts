/** A document that two parsers might read differently, or that nests too deep. */
export class JsonError extends Error {
  override readonly name = "JsonError";
}

/**
 * JSON as RFC 8259 has it, in UTF-8, and besides: no key twice in one object, no deeper than `maxDepth` arrays and
 * objects. JSON.parse takes the last of two equal keys and others the first, so such a document would mean different
 * things to the registry and to its clients.
 * @throws JsonError
 */
export function parseStrictJson(bytes: Uint8Array, maxDepth: number): unknown {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new JsonError("it is not UTF-8");
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new JsonError("it is not JSON");
  }
  checkStructure(text, maxDepth);
  return value;
}

/** Walks over a text already known to be JSON: only brackets, strings and colons matter. */
function checkStructure(text: string, maxDepth: number): void {
  // The keys so far of each object that is open; undefined for an array.
  const open: (Set<string> | undefined)[] = [];
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i);
    if (c === 0x7b || c === 0x5b) {
      if (open.length >= maxDepth) throw new JsonError(`it nests deeper than ${maxDepth} levels`);
      open.push(c === 0x7b ? new Set() : undefined);
    } else if (c === 0x7d || c === 0x5d) {
      open.pop();
    } else if (c === 0x22) {
      const start = i;
      for (i++; text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++;
      const keys = open.at(-1);
      if (keys === undefined || !isKey(text, i + 1)) continue;
      const key = JSON.parse(text.slice(start, i + 1)) as string;
      if (keys.has(key)) throw new JsonError(`the key ${JSON.stringify(key).slice(0, 100)} stands twice in one object`);
      keys.add(key);
    }
  }
}

function isKey(text: string, after: number): boolean {
  let i = after;
  while (i < text.length && text.charCodeAt(i) <= 0x20) i++;
  return text.charCodeAt(i) === 0x3a;
}
