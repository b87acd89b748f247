/** A path pattern of Google's APIs, taken apart. [google.api.HttpRule, "Path template syntax"] */
export interface RoutePattern {
  /** The variables of a path, decoded; `undefined` if it is another's, or not well encoded. */
  match(path: string): Record<string, string> | undefined;
}

/**
 *     /v1/{name=projects/*\/serviceAccounts/*}:undelete     `name` is `projects/p/serviceAccounts/s`
 *     /storage/v1/b/{bucket}/o/{object=**}                  `**` is the rest, slashes and all
 *     /v1/projects/{project}
 *
 * A verb after the last colon belongs to the pattern; a colon in a segment, as in `example.com:project`, is its own.
 */
export function routePattern(template: string): RoutePattern {
  const names: string[] = [];
  const source = template.replaceAll(/\{(\w+)(?:=([^}]+))?\}|[^{]+/g, (part, name?: string, inner = "*") => {
    if (name === undefined) return escape(part);
    names.push(name);
    return `(${inner.split("/").map(segmentSource).join("/")})`;
  });
  const form = new RegExp(`^${source}$`);
  return {
    match(path) {
      const found = form.exec(path);
      if (found === null) return undefined;
      try {
        return Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(found[i + 1] as string)]));
      } catch {
        return undefined;
      }
    },
  };
}

function segmentSource(segment: string): string {
  if (segment === "**") return ".+";
  return segment === "*" ? "[^/]+?" : escape(segment);
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
