import { describe, expect, test } from "vitest";
import type { App, Revision } from "../../../tools/release/azure/azure.ts";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";
import { type PlanInput, planOf } from "../../../tools/release/plan.ts";

const definition = parseDefinition(
  `app: welcome
test: [{ get: /readyz }]
steps: [{ weight: 5, for: 10m }, { weight: 50, for: 10m, confirm: true }]
bake: 15m
checks: [{ name: 5xx, source: metrics, margin: 1% }, { name: alive, source: probe, get: /readyz }]
`,
  "release.yaml",
);
const live: Revision = {
  name: "welcome--old",
  isActive: true,
  health: "healthy",
  state: "Running",
  createdAt: 0,
  template: {
    containers: [{ name: "welcome", image: "r.example/welcome:1", env: [{ name: "WELCOME", value: "a secret" }] }],
    scale: { minReplicas: 1 },
  },
};

function appOf(more: Partial<App> = {}): App {
  return {
    mode: "Single",
    isBusy: false,
    traffic: [{ revision: undefined, weight: 100 }],
    tags: {},
    revisions: [live],
    latestReadyRevision: live.name,
    domain: "happy.example",
    isExternal: true,
    hasAffinity: false,
    secrets: [],
    failure: undefined,
    ...more,
  };
}

/** @param total requests of the last hour */
function plan(more: Partial<PlanInput> = {}, { bad = 0, total = 36_000 } = {}) {
  const today = new Map([["5xx", { bad, total }]]);
  const wanted = { image: "r.example/welcome:2", set: {} };
  return planOf({ definition, wanted, allowQueue: false, app: appOf(), today, notes: [], ...more });
}

describe("plan", () => {
  test("prints the changes, and names variables without their values", () => {
    const { text } = plan({ wanted: { image: "r.example/welcome:2", set: { WELCOME: "another secret", NEW: "1" } } });
    expect(text).toMatch(/revision +welcome--r[0-9a-f]{8}, a copy of welcome--old/);
    expect(text).toContain("r.example/welcome:1 -> r.example/welcome:2");
    expect(text).toContain("WELCOME (changed), NEW (new)");
    expect(text).toContain("Single -> Multiple");
    expect(text).not.toContain("secret");
  });

  test("prints the traffic table before and after each step", () => {
    const lines = plan()
      .text.split("\n")
      .map((line) => line.trim().split(/ {2,}/));
    expect(lines).toContainEqual(["now", "100 %"]);
    expect(lines).toContainEqual(["tests", "100 %", "0 %", "until it is ready, then 1 test"]);
    expect(lines).toContainEqual(["step 1", "95 %", "5 %", "10m"]);
    expect(lines).toContainEqual(["step 2", "50 %", "50 %", "10m, then until promote"]);
    expect(lines).toContainEqual(["bake", "0 %", "100 %", "15m"]);
    expect(lines).toContainEqual(["after", "inactive", "100 % (blue)"]);
  });

  test("says how long each step needs at today's traffic", () => {
    const { text } = plan();
    expect(text).toContain("5xx: 10.0 requests a second in the last hour, 0 % of them end with 5xx");
    const first =
      /step 1: 5 % of 10\.0\/s: the (\d+) requests that a margin of 1 point takes need (?:9|10)m, so the step lasts about 1[45]m/.exec(
        text,
      );
    expect(Number(first?.[1])).toBeGreaterThanOrEqual(268);
    expect(Number(first?.[1])).toBeLessThanOrEqual(300);
    expect(text).toMatch(
      /step 2: 50 % of 10\.0\/s: the \d+ requests that a margin of 1 point takes need \d+s, in time/,
    );
  });

  test("says that a step holds when today's traffic is too low, and that no data can decide without any", () => {
    expect(plan({}, { total: 900 }).text).toMatch(
      /step 1: .* longer than the step and its extension: the release holds/,
    );
    const { text } = plan({}, { total: 0 });
    expect(text).toMatch(/step 1: .* never come: the release holds/);
    expect(text).toContain("check 5xx found no request in the last hour, so no data can decide");
  });

  test("prints the most looks", () => {
    // 10 + 10 + 15 minutes, each extended by 20
    expect(plan().text).toContain("up to 95 looks at the counts");
  });

  test("prints what the release costs", () => {
    const { text } = plan();
    expect(text).toContain("35m without waits for people, 1h 35m if every step is extended");
    expect(text).toContain("at least 1 more replica for that time");
    expect(text).toMatch(/about \d+ requests to Azure, and \d+ probes/);
  });

  test("has nothing to mind for an app that is set up well", () => {
    expect(plan().text).not.toContain("Mind:");
    expect(plan().refusals).toEqual([]);
  });

  test("warns of an app whose last change failed, with Azure's reason", () => {
    const { text } = plan({ app: appOf({ failure: "w:2: MANIFEST_UNKNOWN" }) });
    expect(text).toContain("the last change of the app failed: w:2: MANIFEST_UNKNOWN");
  });

  test("warns of an app that scales to zero, of an app without an address outside, and of steps shorter than the lag", () => {
    const idle = { ...live, template: { ...live.template, scale: { minReplicas: 0 } } };
    expect(plan({ app: appOf({ revisions: [idle] }) }).text).toContain("Set minReplicas to 1");
    expect(plan({ app: appOf({ isExternal: false }) }).text).toContain("no address outside its environment");
    const short = { ...definition, steps: [{ weight: 5, for: 300, confirm: false }] };
    expect(plan({ definition: short }).text).toContain(
      "step 1: Azure counts requests for check 5xx 4m late. Let a step last 6m or more",
    );
  });

  test("prints why Azure could not count requests", () => {
    const { text } = plan({ today: new Map(), notes: ["check 5xx cannot count requests: no permission"] });
    expect(text).toContain("- check 5xx cannot count requests: no permission");
  });

  test.each([
    ["the mode Labels", appOf({ mode: "Labels" }), /mode Labels/],
    ["sticky sessions", appOf({ hasAffinity: true }), /sticky sessions/],
    ["no ingress", appOf({ domain: undefined }), /no ingress/],
    [
      "traffic for two revisions without a release",
      appOf({
        mode: "Multiple",
        traffic: [
          { revision: "a", weight: 50 },
          { revision: "b", weight: 50 },
        ],
      }),
      /a 50 %, b 50 %/,
    ],
  ])("refuses an app with %s", (_, app, reason) => {
    const { refusals, text } = plan({ app });
    expect(refusals.join()).toMatch(reason);
    expect(text).toMatch(/(It cannot start|no release can start):\n {2}- /);
  });

  test("refuses while a release is under way", () => {
    const next = { ...live, name: "welcome--r01234567" };
    const app = appOf({
      mode: "Multiple",
      revisions: [live, next],
      traffic: [
        { revision: live.name, weight: 95, label: "blue" },
        { revision: next.name, weight: 5, label: "green" },
      ],
      tags: { "release-progress": `id=r01234567 phase=step step=1 since=2026-10-05T08:00:00Z from=${live.name}` },
    });
    expect(plan({ app }).refusals).toEqual([expect.stringContaining("the release r01234567 is under way")]);
  });

  test("says that there is nothing to do when the image is live", () => {
    const { text, refusals } = plan({ wanted: { image: "r.example/welcome:1", set: {} } });
    expect(text).toBe("welcome: nothing to do. welcome--old has this image, these variables and all traffic.");
    expect(refusals).toEqual([]);
  });
});
