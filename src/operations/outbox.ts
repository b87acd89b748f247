import { run, type Steps } from "../metadata/statement.ts";

/**
 * What happened, for those who follow. Names are the full ones: `HOST/PROJECT/IMAGE`. A manifest that was pushed with
 * tags (`tagged`) is followed by their moves.
 */
export type Event =
  | {
      kind: "manifest.pushed";
      repository: string;
      digest: string;
      mediaType: string;
      subject: string | null;
      tagged: boolean;
    }
  | { kind: "manifest.deleted"; repository: string; digest: string }
  | { kind: "tag.moved"; repository: string; tag: string; digest: string; previous: string | null }
  | { kind: "tag.deleted"; repository: string; tag: string; digest: string }
  | { kind: "registry.created"; host: string; project: string };

/** Tells followers of a change, in the change's own transaction: none is lost and none is invented. */
export function* appendEvent(registryId: number, event: Event, at: number): Steps<void> {
  const { kind, ...payload } = event;
  yield* run(
    "INSERT INTO outbox (at, kind, registry_id, payload) VALUES (?, ?, ?, ?)",
    at,
    kind,
    registryId,
    JSON.stringify(payload),
  );
}
