import { describe, expect, test } from "vitest";
import type { App, Revision, Share } from "../../../tools/release/azure/azure.ts";
import { type State, stateOf } from "../../../tools/release/core/state.ts";
import { formatProgress, type Phase, type Progress } from "../../../tools/release/core/tags.ts";
import { type Definition, planOf } from "../../../tools/release/definition/definition.ts";
import { definition, template } from "./model.ts";

const [from, next] = ["welcome--old", "welcome--r12345678"];
const since = Date.parse("2026-11-26T11:00:00Z");

const blue = (weight = 100, revision = from): Share => ({ revision, weight, label: "blue" });
const green = (weight: number, revision = next): Share => ({ revision, weight, label: "green" });
const debug: Share = { revision: "welcome--debug", weight: 0, label: "debug" };

const progress = (phase: Phase, step = 0): Progress => ({ id: "r12345678", phase, step, since, from });

function app(traffic: readonly Share[], tag?: Progress, more: Partial<App> = {}): App {
  return {
    mode: "Multiple",
    isBusy: false,
    traffic,
    tags: tag ? { "release-progress": formatProgress(tag) } : {},
    revisions: [revision("welcome--debug"), revision(from), revision(next)],
    latestReadyRevision: next,
    domain: "example.com",
    isExternal: true,
    hasAffinity: false,
    secrets: [],
    failure: undefined,
    ...more,
  };
}

function revision(name: string, isActive = true): Revision {
  const content = template("registry.example/welcome:1");
  return { name, isActive, health: "healthy", state: "Running", createdAt: 0, template: content };
}

const state = (...of: Parameters<typeof app>): State => stateOf(definition, app(...of));

/** The phase and step of a release, its weight, and whether the tag said something else. */
function brief(found: State): string {
  if (found.kind === "idle") return `idle ${found.live.name}`;
  if (found.kind === "foreign") return "foreign";
  const { progress, weight, isLost } = found;
  return `${progress.phase} ${progress.step} at ${weight}${isLost ? ", lost" : ""}`;
}

describe("the state of a release whose tag and table agree", () => {
  test.each<[string, Share[], Progress]>([
    ["pinned 0 at 0", [blue()], progress("pinned")],
    ["created 0 at 0", [blue()], progress("created")],
    ["created 0 at 0", [blue(), green(0, "welcome--debug")], progress("created")],
    ["testing 0 at 0", [blue(), green(0)], progress("testing")],
    ["step 1 at 5", [blue(95), green(5)], progress("step", 1)],
    ["step 2 at 50", [blue(50), green(50), debug], progress("step", 2)],
    ["bake 2 at 100", [blue(0), green(100)], progress("bake", 2)],
    ["swapped 2 at 100", [blue(100, next)], progress("swapped", 2)],
    ["back 1 at 0", [blue()], progress("back", 1)],
    ["back 1 at 5", [blue(95), green(5)], progress("back", 1)],
    ["back 2 at 100", [blue(100, next)], progress("back", 2)],
    [`idle ${next}`, [blue(100, next)], progress("promoted", 2)],
    [`idle ${from}`, [blue()], progress("rolled-back", 1)],
  ])("is %s", (wanted, traffic, tag) => {
    expect(brief(state(traffic, tag))).toBe(wanted);
  });
});

describe("the state of a release whose tag is lost or says something else", () => {
  test.each<[string, Share[], Progress | undefined]>([
    ["step 1 at 5, lost", [blue(95), green(5)], undefined],
    ["bake 2 at 100, lost", [blue(0), green(100)], undefined],
    [`idle ${from}`, [blue()], undefined],
    [`idle ${next}`, [blue(100, next)], undefined],
    ["step 2 at 50, lost", [blue(50), green(50)], progress("step", 1)],
    ["testing 0 at 0, lost", [blue(), green(0)], progress("created")],
    ["swapped 2 at 100, lost", [blue(100, next)], progress("bake", 2)],
    // Nothing but a way back removes the label.
    ["back 2 at 0, lost", [blue()], progress("step", 2)],
    ["back 0 at 0, lost", [blue()], progress("testing")],
    // Somebody sent traffic back: it never rises again.
    ["back 2 at 5, lost", [blue(95), green(5)], progress("step", 2)],
    ["back 2 at 30, lost", [blue(70), green(30)], progress("step", 2)],
    ["back 2 at 0, lost", [blue(), green(0)], progress("step", 2)],
    ["back 2 at 50, lost", [blue(50), green(50)], progress("bake", 2)],
    ["back 2 at 0, lost", [blue(), green(0)], progress("swapped", 2)],
  ])("comes from the table: %s", (wanted, traffic, tag) => {
    expect(brief(state(traffic, tag))).toBe(wanted);
  });

  test("forgets that the step was approved, and that it held", () => {
    const found = state([blue(50), green(50)], { ...progress("step", 1), approved: "yes", hold: "confirm" });
    expect(found).toMatchObject({ progress: { step: 2, approved: undefined, hold: undefined } });
  });
});

describe("a table that is not that of a release", () => {
  test.each<[string, Share[], Progress | undefined]>([
    ["a weight of no step", [blue(70), green(30)], progress("step", 1)],
    ["a weight for a third revision", [blue(90), green(5), { ...debug, weight: 5 }], progress("step", 1)],
    ["all traffic for the latest revision", [{ revision: undefined, weight: 100 }], progress("step", 1)],
    [
      "the live label on another revision",
      [blue(0, "welcome--debug"), { revision: from, weight: 100 }],
      progress("pinned"),
    ],
    ["a split without a tag, by other labels", [{ ...debug, weight: 50 }, blue(50)], undefined],
    ["traffic for a revision that was rolled back", [blue(95), green(5)], progress("rolled-back", 1)],
    ["nothing", [], progress("step", 1)],
  ])("is foreign: %s", (_, traffic, tag) => {
    const isUnderway = tag !== undefined && tag.phase !== "rolled-back";
    const found = state(traffic, tag);
    expect(found.kind === "foreign" && found.release?.progress).toEqual(isUnderway ? tag : undefined);
  });

  test.each(["Single", "Labels"] as const)("is foreign when the mode became %s", (mode) => {
    expect(state([blue(95), green(5)], progress("step", 1), { mode })).toMatchObject({ kind: "foreign" });
  });

  test("is foreign when the revision to go back to no longer exists", () => {
    const gone = { revisions: [revision(next)] };
    expect(state([blue(95), green(5)], progress("step", 1), gone)).toMatchObject({
      kind: "foreign",
      message: "welcome--old, to go back to, no longer exists",
      release: { live: undefined, weight: 5 },
    });
    expect(brief(state([blue(100, next)], progress("swapped", 2), gone))).toBe("swapped 2 at 100");
  });

  test("names the table and the release", () => {
    expect(state([blue(70), green(30)], progress("step", 1))).toMatchObject({
      message:
        "the traffic is welcome--old 70 % (blue), welcome--r12345678 30 % (green), but the release r12345678 is at step",
      release: { progress: progress("step", 1), weight: 30 },
    });
  });
});

describe("a release whose definition has changed", () => {
  const changed = (phase: Phase, step = 0): Progress => ({ ...progress(phase, step), plan: "abcdef" });

  test.each<[string, Share[], Progress]>([
    ["testing 0 at 0", [blue(), green(0)], changed("testing")],
    ["step 1 at 5", [blue(95), green(5)], changed("step", 1)],
    ["step 4 at 30", [blue(70), green(30)], changed("step", 4)],
    [
      "step 1 at 5",
      [
        { ...blue(95), label: "a" },
        { ...green(5), label: "b" },
      ],
      changed("step", 1),
    ],
    ["bake 2 at 100", [blue(0), green(100)], changed("bake", 2)],
    ["back 1 at 0", [blue()], changed("back", 1)],
    ["back 1 at 0, lost", [blue(), green(0)], changed("step", 1)],
    ["foreign", [blue(90), green(5), { ...debug, weight: 5 }], changed("step", 1)],
  ])("is %s, by its tag", (wanted, traffic, tag) => {
    const found = state(traffic, tag);
    expect(brief(found)).toBe(wanted);
    if (found.kind === "underway") expect(found.isChanged).toBe(true);
  });

  test("is not one whose tag has the fingerprint of the definition", () => {
    const tag = { ...progress("step", 1), plan: planOf(definition) };
    expect(state([blue(95), green(5)], tag)).toMatchObject({ isChanged: false });
  });

  test.each<[string, Definition]>([
    ["a label", { ...definition, labels: { live: "blue", next: "canary" } }],
    ["a weight", { ...definition, steps: definition.steps.map((step) => ({ ...step, weight: 7 })) }],
    ["a step that asks for a person", { ...definition, steps: definition.steps.map((s) => ({ ...s, confirm: true })) }],
    ["the number of steps", { ...definition, steps: definition.steps.slice(1) }],
  ])("has another fingerprint when %s changes", (_, changedDefinition) => {
    expect(planOf(changedDefinition)).not.toBe(planOf(definition));
    expect(planOf({ ...changedDefinition, bake: 1 })).toBe(planOf(changedDefinition));
  });
});

describe("an app without a release", () => {
  test.each<[string, Share[], Partial<App>]>([
    [next, [{ revision: undefined, weight: 100 }], {}],
    [next, [{ revision: undefined, weight: 100 }], { mode: "Single" }],
    [from, [blue(), green(0, "welcome--debug")], {}],
    // Somebody looks at an older revision, or the tag of a release in its tests is lost.
    [from, [blue(), green(0)], {}],
    [
      from,
      [
        { revision: from, weight: 100 },
        { ...debug, weight: 0 },
      ],
      {},
    ],
    // https://github.com/microsoft/azure-container-apps/issues/410
    [from, [blue(), { revision: "welcome--deleted", weight: 0 }], {}],
  ])("has the live revision %s", (live, traffic, more) => {
    expect(brief(state(traffic, undefined, more))).toBe(`idle ${live}`);
  });

  test("is foreign while no revision is ready", () => {
    expect(state([], undefined, { mode: "Single", latestReadyRevision: undefined })).toMatchObject({
      kind: "foreign",
      message: "no revision of the app is ready to compare with",
      release: undefined,
    });
  });
});
