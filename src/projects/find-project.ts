import { parseProjectId, type ProjectId } from "../names/reference.ts";
import type { Projects } from "./projects.ts";

/** Finds projects as APIs name them: by id or by number. */
export function projectFinder(projects: Projects): (named: string) => Promise<ProjectId | undefined> {
  return async (named) => {
    if (/^\d{1,20}$/.test(named)) return (await projects.findByNumber(named))?.id;
    const id = parseProjectId(named);
    return id === undefined ? undefined : (await projects.find(id))?.id;
  };
}
