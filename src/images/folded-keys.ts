const descriptorFields = [
  "mediaType",
  "digest",
  "size",
  "urls",
  "annotations",
  "data",
  "artifactType",
  "platform",
] as const;
const documentFields = [
  "schemaVersion",
  "mediaType",
  "artifactType",
  "config",
  "layers",
  "fsLayers",
  "manifests",
  "subject",
  "annotations",
] as const;

const inDocument = spellings(documentFields);
const inDescriptor = spellings(descriptorFields);

/**
 * A key of the document or of one of its descriptors that is not a field's name but reads as one where case does not
 * count, as in Go's encoding/json: `Layers` beside `layers` would be one image to the registry and another to its
 * clients. The keys of annotations are free. [GHSA-qq97-vm5h-rrhg]
 * @returns the key and the name it passes for
 */
export function findFoldedKey(document: object): { key: string; field: string } | undefined {
  const found = foldedKeyOf(document, inDocument);
  if (found !== undefined) return found;
  const { config, subject, layers, manifests } = document as Record<string, unknown>;
  for (const each of [config, subject, layers, manifests].flat()) {
    const folded = typeof each === "object" && each !== null ? foldedKeyOf(each, inDescriptor) : undefined;
    if (folded !== undefined) return folded;
  }
  return undefined;
}

function foldedKeyOf(object: object, fields: ReadonlyMap<string, string>): { key: string; field: string } | undefined {
  for (const key of Object.keys(object)) {
    const field = fields.get(fold(key));
    if (field !== undefined && field !== key) return { key, field };
  }
  return undefined;
}

function spellings(fields: readonly string[]): ReadonlyMap<string, string> {
  return new Map(fields.map((field) => [fold(field), field]));
}

/** Up and down again, for the two letters beyond ASCII that fold into it: the long s (U+017F) and Kelvin (U+212A). */
function fold(key: string): string {
  return key.toUpperCase().toLowerCase();
}
