import { UsageError } from "../command.ts";
import type { Flag, Noun } from "../noun.ts";
import { type Column, doneResult, itemResult, listResult } from "../results.ts";
import { apiPath } from "../server-client.ts";
import { readPairs } from "../pairs.ts";

/** [Resource Manager v3, REST resource projects] */
interface Project {
  projectId: string;
  name: string;
  displayName: string;
  state: string;
  createTime: string;
}

const columns: Column<Project>[] = [
  ["PROJECT", ({ projectId }) => projectId],
  ["NAME", ({ displayName }) => displayName],
  ["NUMBER", ({ name }) => name.replace("projects/", "")],
  ["STATE", ({ state }) => state],
];

const labelFlag: Flag = { name: "label", placeholder: "KEY=VALUE", doc: "A label.", isMultiple: true };

export const projectNoun: Noun = {
  name: "project",
  summary: "projects: what images, rights and service accounts belong to",
  verbs: [
    {
      name: "list",
      summary: "Lists the projects that you may see, those that are being deleted too.",
      flags: [
        {
          name: "filter",
          placeholder: "FILTER",
          doc: "Such as `id:web*`, `state:ACTIVE`, `labels.team=a`; terms by spaces must all hold.",
        },
      ],
      async run({ text }, server) {
        const query = { query: text("filter") };
        return listResult(await server.list<Project>("/v3/projects:search", "projects", query), columns);
      },
    },
    {
      name: "create",
      summary: "Makes a project that you own.",
      operands: ["PROJECT"],
      flags: [{ name: "name", placeholder: "NAME", doc: "What it is called beside its id." }, labelFlag],
      async run({ operands: [projectId], text, texts }, server) {
        const body = { projectId, displayName: text("name"), labels: readPairs("label", texts("label")) };
        const { response } = await server.post<{ response: Project }>("/v3/projects", body);
        return doneResult(`made the project ${projectId}`, response);
      },
    },
    {
      name: "describe",
      summary: "Shows a project.",
      operands: ["PROJECT"],
      async run({ operands: [project = ""] }, server) {
        return itemResult(await server.get<Project>(apiPath`/v3/projects/${project}`));
      },
    },
    {
      name: "update",
      summary: "Changes what a project is called, or its labels.",
      operands: ["PROJECT"],
      flags: [
        { name: "name", placeholder: "NAME", doc: "What it is called beside its id." },
        { ...labelFlag, doc: "A label; those that are given take the place of all that there are." },
      ],
      async run({ operands: [project = ""], text, texts }, server) {
        const labels = texts("label").length === 0 ? undefined : readPairs("label", texts("label"));
        const body = { displayName: text("name"), labels };
        const fields = Object.entries(body).flatMap(([field, value]) => (value === undefined ? [] : field));
        if (fields.length === 0) throw new UsageError("nothing is to be changed: give --name or --label");
        const path = `${apiPath`/v3/projects/${project}`}?updateMask=${fields.join(",")}`;
        const { response } = await server.patch<{ response: Project }>(path, body);
        return doneResult(`changed the project ${project}`, response);
      },
    },
    {
      name: "delete",
      summary: "Deletes a project. For 30 days it can be brought back; then its images are gone.",
      operands: ["PROJECT"],
      async run({ operands: [project = ""] }, server) {
        const path = apiPath`/v3/projects/${project}`;
        const { response } = await server.remove<{ response: { purgeTime: string } }>(path);
        const end = response.purgeTime.slice(0, 10);
        const text = `deleted the project ${project}; until ${end}, \`berth project undelete ${project}\` brings it back`;
        return doneResult(text, response);
      },
    },
    {
      name: "undelete",
      summary: "Brings a deleted project back.",
      operands: ["PROJECT"],
      async run({ operands: [project = ""] }, server) {
        const { response } = await server.post<{ response: Project }>(apiPath`/v3/projects/${project}:undelete`);
        return doneResult(`brought back the project ${project}`, response);
      },
    },
  ],
};
