import { writePolicy } from "../access/policies.ts";
import { bumpVersion } from "../metadata/freshness.ts";
import { run, type Steps } from "../metadata/statement.ts";
import type { Principal } from "../names/principals.ts";
import { organizationResource } from "../names/resources.ts";

/** The one organisation of a server, over all of its projects. [Resource Manager, "Organization"] */
interface NewOrganization {
  id: string;
  domain: string;
  administrators: Principal[];
  etag: string;
  now: number;
}

/** What who administers the organisation may do: everything follows from the right to give roles. */
const administratorRoles = [
  "roles/resourcemanager.organizationAdmin",
  "roles/resourcemanager.projectCreator",
  "roles/iam.organizationRoleAdmin",
  "roles/berth.admin",
];

/** The organisation, with every project that there is put under it. */
export function* insertOrganization(input: NewOrganization): Steps<void> {
  yield* run(
    "INSERT INTO organizations (id, display_name, domain, created_at) VALUES (?, ?, ?, ?)",
    input.id,
    input.domain,
    input.domain,
    input.now,
  );
  yield* run("UPDATE projects SET organization_id = ?", input.id);
  const bindings = administratorRoles.map((role) => ({ role, members: input.administrators }));
  yield* writePolicy(organizationResource(input.id), { etag: input.etag, bindings, auditConfigs: [] });
  yield* bumpVersion("projects");
}
