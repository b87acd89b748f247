import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatMember, parseMember } from "./members.ts";

const pool = "//iam.googleapis.com/projects/123/locations/global/workloadIdentityPools/ci";

describe("a member", () => {
  const members = [
    "allUsers",
    "allAuthenticatedUsers",
    "user:ann@example.com",
    "serviceAccount:robot@p1.iam.gserviceaccount.com",
    "serviceAccount:robot@p1.example.com.iam.gserviceaccount.com",
    "group:devs@example.com",
    "domain:example.com",
    "projectOwner:p1",
    "projectEditor:example.com:p1",
    "projectViewer:p1",
    `principal:${pool}/subject/repo:owner/name:ref:refs/heads/main`,
    `principalSet:${pool}/group/admins`,
    `principalSet:${pool}/attribute.repository/owner/name`,
    `principalSet:${pool}/*`,
    "deleted:serviceAccount:robot@p1.iam.gserviceaccount.com?uid=123456789012345678901",
    "deleted:user:ann@example.com?uid=1",
  ];
  for (const member of members) {
    test(`${member} is read and written back`, () => {
      const parsed = parseMember(member);
      expect(parsed && formatMember(parsed)).toBe(member);
    });
  }

  test("an address is the same in every case, a subject is not", () => {
    expect(parseMember("user:Ann@Example.COM")?.value).toBe("ann@example.com");
    expect(parseMember(`principal:${pool}/subject/Ann`)?.value).toBe(`${pool}/subject/Ann`);
  });

  const refused = [
    "",
    "user:",
    "user:ann",
    "user:@example.com",
    "User:ann@example.com",
    "domain:localhost",
    "domain:-a.com",
    "allusers",
    "allUsers:x",
    "projectOwner:",
    "robot@p1.iam.gserviceaccount.com",
    "toString:a@b.c",
    "user:ann@example.com?uid=1",
    "deleted:user:ann@example.com",
    "deleted:domain:example.com?uid=1",
    `principal:${pool}/*`,
    `principalSet:${pool}/subject/x`,
    "principal://other.googleapis.com/x/subject/y",
    `user:${"a".repeat(65)}@example.com`,
    `principal:${pool}/subject/${"x".repeat(1000)}`,
  ];
  for (const text of refused) {
    test(`${JSON.stringify(text.slice(0, 80))} is none`, () => {
      expect(parseMember(text)).toBeUndefined();
    });
  }

  test("what is read and written is read the same", () => {
    const text = fc.oneof(
      fc.string(),
      fc.constantFrom(...members),
      fc.emailAddress().map((address) => `user:${address}`),
    );
    fc.assert(
      fc.property(text, (member) => {
        const parsed = parseMember(member);
        if (parsed !== undefined) expect(parseMember(formatMember(parsed))).toEqual(parsed);
      }),
    );
  });
});
