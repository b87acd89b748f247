import { projectOfAgent } from "../identity/service-agent.ts";
import { findServiceAccount } from "../identity/service-accounts.ts";
import { isSomebody } from "../identity/somebody.ts";
import type { Database } from "../metadata/database.ts";
import { type Member, parseMember } from "../names/members.ts";
import type { Projects } from "./projects.ts";

/** Whom a policy may name: a typing error in a policy is better refused than kept. */
export class MemberDirectory {
  readonly #database: Database;
  readonly #projects: Projects;

  constructor(database: Database, projects: Projects) {
    this.#database = database;
    this.#projects = projects;
  }

  /** Service accounts and groups are the server's own. A user may be one who has not signed in yet. */
  async exists(member: Member): Promise<boolean> {
    const parsed = parseMember(member);
    if (parsed === undefined) return false;
    if (parsed.kind === "group") {
      return (await this.#database.readRow("SELECT unique_id FROM groups WHERE email = ?", parsed.value)) !== undefined;
    }
    if (parsed.kind !== "serviceAccount") return true;
    const number = projectOfAgent(parsed.value);
    if (number !== undefined) return (await this.#projects.findByNumber(number)) !== undefined;
    return (await this.#database.read(findServiceAccount(parsed.value))) !== undefined;
  }

  /** Whether somebody can act as the member now. */
  isSomebody(member: Member): Promise<boolean> {
    return this.#database.read(isSomebody(member, { now: Date.now(), strict: false }));
  }
}
