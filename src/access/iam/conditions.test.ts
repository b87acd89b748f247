import { expect, test } from "bun:test";
import { maxWorkOfAuthorization } from "./cel/limits.ts";
import { compileCondition, type ConditionContext } from "./conditions.ts";
import { ExpressionError } from "./expressions.ts";

const context: ConditionContext = {
  time: Date.UTC(2026, 10, 24, 9, 30), // A Tuesday.
  resourceName: "projects/_/buckets/us.artifacts.acme.appspot.com",
  resourceType: "storage.googleapis.com/Bucket",
  resourceService: "storage.googleapis.com",
};

const compile = (expression: string): ReturnType<typeof compileCondition> =>
  compileCondition({ title: "t", expression });

test("holds when its expression is true", async () => {
  const table: [string, boolean][] = [
    ["true", true],
    ['request.time < timestamp("2027-01-01T00:00:00Z")', true],
    ['request.time < timestamp("2026-01-01T00:00:00.000Z")', false],
    ['request.time < timestamp("2026-11-24T00:00:00Z") + duration("36000s")', true],
    ['request.time.getHours("Europe/Berlin") == 10 && request.time.getDayOfWeek("Europe/Berlin") == 2', true],
    ['resource.name.startsWith("projects/_/buckets/us.artifacts.acme.")', true],
    ['resource.name.extract("buckets/{name}.appspot.com") == "us.artifacts.acme"', true],
    ['resource.service == "storage.googleapis.com" && resource.type != "storage.googleapis.com/Object"', true],
    [
      "(resource.type != 'storage.googleapis.com/Bucket' && resource.type != 'storage.googleapis.com/Object') ||\n" +
        " resource.name.startsWith('projects/_/buckets/example-bucket')",
      false,
    ],
    ['resource.name.extract("/order_date={date}/") == "" && date("2026-11-24") < request.time', true],
  ];
  for (const [expression, expected] of table) {
    expect([expression, (await compile(expression)).holds(context)]).toEqual([expression, expected]);
  }
});

test("does not hold when its expression fails", async () => {
  for (const expression of [
    'request.time > timestamp("yesterday")',
    'date(resource.name.extract("/order_date={date}/")) < request.time',
    "int(resource.name) == 1",
    '!(request.time < timestamp(""))',
  ]) {
    expect((await compile(expression)).holds(context)).toBeFalse();
  }
});

test("refuses attributes that are not there, and says which are", async () => {
  for (const expression of [
    'request.path == "/x"',
    "request.auth.claims.x == 1",
    "api.getAttribute('storage.googleapis.com/objectListPrefix', '') == ''",
    "resource.matchTag('1/env', 'prod')",
    "destination.ip == '10.0.0.1'",
    "has(resource.labels)",
    "origin",
  ]) {
    const known = "known are request.time, resource.name, resource.service, resource.type";
    await expect(compile(expression)).rejects.toThrow(known);
  }
});

test("refuses what is no condition", async () => {
  for (const expression of ["", "resource.name", "request.time", "resource.name == 1", "resource.name ==", "1"]) {
    await expect(compile(expression)).rejects.toBeInstanceOf(ExpressionError);
  }
});

test("takes only what the expression reads", async () => {
  const onlyName = { ...context, time: Number.NaN, resourceType: undefined as unknown as string };
  expect((await compile('resource.name != ""')).holds(onlyName)).toBeTrue();
  expect((await compile('resource.name != "" && request.time != timestamp(0)')).holds(onlyName)).toBeFalse();
});

test("conditions that are asked together share what they may do", async () => {
  const long = { ...context, resourceName: "a".repeat(500) };
  const costly = await compileCondition({
    title: "costly",
    expression: `resource.name.matches("(a|b|ab)*c") || ${Array.from({ length: 40 }, (_, i) => `resource.name.replace("a", "bb").contains("x${i}")`).join(" || ")} || true`,
  });
  const cheap = await compileCondition({ title: "cheap", expression: `resource.name.startsWith("a")` });
  const budget = { left: maxWorkOfAuthorization };
  let held = 0;
  for (let i = 0; i < 1000; i++) if (costly.holds(long, budget)) held++;
  expect(held).toBeGreaterThan(3);
  expect(held).toBeLessThan(500);
  expect(costly.holds(long, budget)).toBe(false);
  expect(costly.holds(long)).toBe(true);
  // A thousand ordinary ones are not noticed.
  const other = { left: maxWorkOfAuthorization };
  for (let i = 0; i < 1000; i++) expect(cheap.holds(long, other)).toBe(true);
});
