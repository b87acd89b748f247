import type { Noun } from "../noun.ts";
import { type Column, listResult } from "../results.ts";
import { apiPath, projectOf } from "../server-client.ts";

interface Target {
  name: string;
  state: string;
  reason?: string;
  stateTime?: string;
}

const columns: Column<Target>[] = [
  ["TARGET", ({ name }) => name],
  ["STATE", ({ state }) => state],
  ["SINCE", ({ stateTime }) => stateTime],
  ["REASON", ({ reason }) => reason],
];

export const notificationsNoun: Noun = {
  name: "notifications",
  summary: "what the registry tells others of pushes and deletes",
  verbs: [
    {
      name: "targets",
      summary: "Shows who is told of a project's images, and whether that works.",
      flags: [{ name: "project", placeholder: "PROJECT", doc: "The project; else the key file's." }],
      async run(input, server) {
        const path = apiPath`/berth/v1/projects/${projectOf(input, server)}/notificationTargets`;
        return listResult(await server.list<Target>(path, "targets"), columns);
      },
    },
  ],
};
