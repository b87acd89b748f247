import { expect, test } from "bun:test";
import { routePattern } from "./route-pattern.ts";

test.each([
  ["/v1/projects/{project}", "/v1/projects/p1", { project: "p1" }],
  ["/v1/projects/{project}", "/v1/projects/example.com:p1", { project: "example.com:p1" }],
  ["/v1/projects/{project}", "/v1/projects/p1/x", undefined],
  ["/v1/projects/{project}", "/v1/projects/", undefined],
  ["/v1/projects/{project}:getIamPolicy", "/v1/projects/p1:getIamPolicy", { project: "p1" }],
  ["/v1/projects/{project}:getIamPolicy", "/v1/projects/example.com:p1:getIamPolicy", { project: "example.com:p1" }],
  ["/v1/projects/{project}:getIamPolicy", "/v1/projects/p1:setIamPolicy", undefined],
  [
    "/v1/{name=projects/*/serviceAccounts/*}",
    "/v1/projects/-/serviceAccounts/a%40b.c",
    { name: "projects/-/serviceAccounts/a@b.c" },
  ],
  [
    "/v1/{name=projects/*/serviceAccounts/*}:undelete",
    "/v1/projects/p/serviceAccounts/1:undelete",
    { name: "projects/p/serviceAccounts/1" },
  ],
  [
    "/storage/v1/b/{bucket}/o/{object=**}",
    "/storage/v1/b/x.appspot.com/o/p%2Fa%3Av1",
    { bucket: "x.appspot.com", object: "p/a:v1" },
  ],
  ["/storage/v1/b/{bucket}/iam", "/storage/v1/bXbucket/iam", undefined],
  ["/v1/projects/{project}", "/v1/projects/%zz", undefined],
] as const)("%s on %s", (template, path, expected) => {
  expect(routePattern(template).match(path)).toEqual(expected as never);
});
