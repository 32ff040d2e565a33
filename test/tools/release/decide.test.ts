import { describe, expect, test } from "vitest";
import type { App, Revision, Share } from "../../../tools/release/azure/azure.ts";
import type { Action, Situation } from "../../../tools/release/core/action.ts";
import { candidateOf } from "../../../tools/release/core/candidate.ts";
import { decide } from "../../../tools/release/core/decide.ts";
import type { Goal } from "../../../tools/release/core/goal.ts";
import { choose } from "../../../tools/release/core/limits.ts";
import { emptyMemory, type Memory } from "../../../tools/release/core/memory.ts";
import { stateOf } from "../../../tools/release/core/state.ts";
import { formatProgress, type Phase, type Progress } from "../../../tools/release/core/tags.ts";
import { nothingSeen, type Seen } from "../../../tools/release/core/windows.ts";
import { definition, goodImage, minute, resume, start, template } from "./model.ts";

const from = "welcome--old";
const live = revision(from, {});
const { id } = candidateOf(definition, live, { image: goodImage });
const next = `welcome--${id}`;
const since = Date.parse("2026-11-26T11:00:00Z");

const blue = (weight = 100, name = from): Share => ({ revision: name, weight, label: "blue" });
const green = (weight: number): Share => ({ revision: next, weight, label: "green" });
const tables = {
  base: [blue()],
  testing: [blue(), green(0)],
  step1: [blue(95), green(5)],
  step2: [blue(50), green(50)],
  bake: [blue(0), green(100)],
  swapped: [blue(100, next)],
};

function revision(name: string, more: Partial<Revision>): Revision {
  const content = template("registry.example/welcome:1");
  return { name, isActive: true, health: "healthy", state: "Running", createdAt: 0, template: content, ...more };
}

const tag = (phase: Phase, step = 0, more: Partial<Progress> = {}): Progress => ({
  id,
  phase,
  step,
  since,
  from,
  restarts: 0,
  ...more,
});

const counts = (bad: number, total: number, liveBad = 0, liveTotal = 19 * total): Seen["counts"] =>
  new Map([["5xx", { next: { bad, total }, live: { bad: liveBad, total: liveTotal } }]]);
const passing = counts(0, 2000);
const failing = counts(400, 2000);
const few = counts(0, 20);

interface Case {
  readonly table?: readonly Share[];
  readonly tag?: Progress;
  readonly goal?: Goal;
  /** Of the phase. */
  readonly minutes?: number;
  readonly seen?: Partial<Seen>;
  readonly memory?: Partial<Memory>;
  readonly live?: Partial<Revision>;
  /** null: Azure does not show it */
  readonly next?: Partial<Revision> | null;
  readonly app?: Partial<App>;
  readonly definition?: typeof definition;
}

function situation(one: Case): Situation {
  const traffic = one.table ?? tables.base;
  const app: App = {
    mode: "Multiple",
    isBusy: false,
    traffic,
    tags: one.tag ? { "release-progress": formatProgress(one.tag) } : {},
    revisions: [revision(from, one.live ?? {}), ...(one.next === null ? [] : [revision(next, one.next ?? {})])],
    latestReadyRevision: from,
    domain: "example.com",
    isExternal: true,
    hasAffinity: false,
    secrets: [],
    failure: undefined,
    ...one.app,
  };
  const rules = one.definition ?? definition;
  return {
    definition: rules,
    goal: one.goal ?? resume,
    app,
    state: stateOf(rules, app),
    seen: { ...nothingSeen, ...one.seen },
    memory: { ...emptyMemory, foreignSince: 0, ...one.memory },
    now: since + (one.minutes ?? 0) * minute,
  };
}

/** e.g. `write up step/1 5 %`: what is written, and the weight of the new revision if the table changes */
function brief(action: Action): string {
  switch (action.kind) {
    case "write": {
      const { moves, progress, traffic, mode, template: content, isLast } = action;
      const weight = traffic?.find(({ revision: name }) => name === next)?.weight;
      const flags = [progress.hold && `hold=${progress.hold}`, progress.approved && `approved=${progress.approved}`];
      const words = [
        moves,
        `${progress.phase}/${progress.step}`,
        mode,
        content && "template",
        traffic && `${weight ?? "no"} %`,
        ...flags,
        isLast && "last",
      ];
      return words.filter(Boolean).join(" ");
    }
    case "activate":
    case "deactivate":
      return `${action.kind} ${action.revision === next ? "next" : "old"}`;
    case "done":
      return action.outcome;
    default:
      return action.kind;
  }
}

/** As infra/bicep declares it with LIVE and CANDIDATE_WEIGHT. */
const halves: readonly Share[] = [blue(50), { revision: "welcome--0000002", weight: 50, label: "green" }];
const steps = { table: tables.step1, tag: tag("step", 1) };
const bakes = { table: tables.bake, tag: tag("bake", 2) };
const promote: Goal = { kind: "promote", force: false };
const force: Goal = { kind: "promote", force: true };
const abort: Goal = { kind: "abort" };
/** Of a release that began with another release.yaml. */
const other = (step: number, more: Partial<Progress> = {}) => tag("step", step, { plan: "abcdef", ...more });
const approving = (phase: Phase, step: number) => ({ memory: { approving: `${id}/${phase}/${step}` } });
const asking = { ...definition, steps: [{ weight: 5, for: 600, confirm: true }] };
const aborting = { ...definition, inconclusive: { extend: 600, then: "abort" as const } };

describe("a run decides", () => {
  test.each<[string, string, Case]>([
    ["nothing", "without an image while no release is under way", {}],
    ["up pinned/0 no %", "to pin the live revision first", { goal: start(), next: null }],
    [
      "up pinned/0 Multiple no %",
      "to leave the mode Single with the same write",
      { goal: start(), next: null, app: { mode: "Single", traffic: [{ revision: undefined, weight: 100 }] } },
    ],
    ["nothing", "without changes to the live revision", { goal: start({ image: "registry.example/welcome:1" }) }],
    ["rolledBack", "for a release that was rolled back", { goal: start(), tag: tag("rolled-back", 1) }],
    ["up pinned/0 no %", "to retry it", { goal: start({ retry: true }), tag: tag("rolled-back", 1) }],
    ["up pinned/0 no %", "for another one", { goal: start(), tag: tag("rolled-back", 1, { id: "r00000000" }) }],
    ["input", "with sticky sessions", { goal: start(), app: { hasAffinity: true } }],
    ["input", "without ingress", { goal: start(), app: { domain: undefined } }],
    ["input", "in the mode Labels", { goal: start(), app: { mode: "Labels" } }],
    ["input", "when the live revision is inactive", { goal: start(), live: { isActive: false } }],

    ["up created/0 template", "to create the revision", { goal: start(), tag: tag("pinned"), next: null }],
    ["nothing", "without an image, before the revision exists", { tag: tag("pinned"), next: null }],
    ["activate next", "when it exists, inactive", { goal: start(), tag: tag("pinned"), next: { isActive: false } }],
    ["wait", "while it is created", { tag: tag("created"), next: null, minutes: 9 }],
    ["back back/0 no %", "when it is not created in time", { tag: tag("created"), next: null, minutes: 10 }],
    ["wait", "while it starts", { tag: tag("created"), next: { health: "unknown" }, minutes: 9 }],
    ["wait", "while it is unhealthy, before it was ready", { tag: tag("created"), next: { health: "unhealthy" } }],
    [
      "back back/0 no %",
      "when it is not ready in time",
      { tag: tag("created"), next: { health: "unknown" }, minutes: 10 },
    ],
    ["up testing/0 0 %", "to give a ready revision its label", { tag: tag("created"), minutes: 1 }],

    ["test", "to test the revision at its label", { table: tables.testing, tag: tag("testing") }],
    [
      "up step/1 5 %",
      "for the first step after the tests",
      { table: tables.testing, tag: tag("testing"), seen: { tests: { ok: true } } },
    ],
    [
      "back back/0 no %",
      "when a test fails",
      { table: tables.testing, tag: tag("testing"), seen: { tests: { ok: false, message: "GET /: status 500" } } },
    ],
    [
      "up bake/0 100 %",
      "without steps",
      {
        table: tables.testing,
        tag: tag("testing"),
        seen: { tests: { ok: true } },
        definition: { ...definition, steps: [] },
      },
    ],

    ["wait", "during a step", { ...steps, minutes: 9.9, seen: { counts: passing } }],
    ["up step/2 50 %", "at the end of a step that has passed", { ...steps, minutes: 10, seen: { counts: passing } }],
    [
      "up bake/2 100 %",
      "after the last step",
      { table: tables.step2, tag: tag("step", 2), minutes: 10, seen: { counts: counts(0, 2000, 0, 2000) } },
    ],
    [
      "note step/1 hold=confirm last",
      "when the step asks for a person",
      { ...steps, minutes: 10, seen: { counts: passing }, definition: asking },
    ],
    ["wait", "with too few requests", { ...steps, minutes: 19.9, seen: { counts: few } }],
    [
      "note step/1 hold=inconclusive last",
      "with too few after the extension",
      { ...steps, minutes: 20, seen: { counts: few } },
    ],
    [
      "back back/1 no %",
      "with too few, if the definition says abort",
      { ...steps, minutes: 20, seen: { counts: few }, definition: aborting },
    ],
    ["wait", "while Azure Monitor returns errors at the last end of a step", { ...steps, minutes: 24.9 }],
    ["note step/1 hold=blind last", "when Azure Monitor returns errors for 5 minutes", { ...steps, minutes: 25 }],
    ["up testing/0 0 %", "to go on with a revision that is ready, though late", { tag: tag("created"), minutes: 60 }],
    [
      "wait",
      "when both labels are silent at the end of a step",
      { ...steps, minutes: 10, seen: { counts: passing, silent: new Set(["alive"]) } },
    ],
    [
      "note step/1 hold=outage last",
      "when both are bad",
      { ...steps, minutes: 5, seen: { counts: counts(200, 2000, 3800) } },
    ],
    [
      "note step/1 hold=share last",
      "when the weights are not those of the table",
      { ...steps, minutes: 5, seen: { counts: counts(0, 2000, 0, 2000) } },
    ],

    ["wait", "during the bake", { ...bakes, minutes: 9.9, seen: { counts: passing } }],
    ["up swapped/2 100 %", "at the end of the bake", { ...bakes, minutes: 10, seen: { counts: passing } }],
    ["wait", "while requests end at the old revision", { table: tables.swapped, tag: tag("swapped", 2), minutes: 0.4 }],
    ["deactivate old", "when the old revision is idle", { table: tables.swapped, tag: tag("swapped", 2), minutes: 1 }],
    [
      "note promoted/2 last",
      "when it has stopped",
      { table: tables.swapped, tag: tag("swapped", 2), minutes: 1, live: { isActive: false } },
    ],
    [
      "promoted",
      "when the release it followed is over",
      { table: tables.swapped, tag: tag("promoted", 2), memory: { following: id } },
    ],

    ["back back/1 no %", "to write a way back that Azure does not show", { table: tables.step1, tag: tag("back", 1) }],
    [
      "activate old",
      "before the way back, if somebody stopped the old revision",
      { ...bakes, live: { isActive: false }, seen: { counts: failing } },
    ],
    ["wait", "while requests end at the new revision", { tag: tag("back", 1), minutes: 0.4 }],
    ["deactivate next", "when the new revision is idle", { tag: tag("back", 1), minutes: 1 }],
    ["note rolled-back/1 last", "when it has stopped", { tag: tag("back", 1), minutes: 1, next: { isActive: false } }],
    ["rolledBack", "when the release it followed is over", { tag: tag("rolled-back", 1), memory: { following: id } }],

    [
      "input",
      "for another image while a release is under way",
      { ...steps, goal: start({ image: "registry.example/welcome:3" }) },
    ],
    ["wait", "for the same image, to go on", { ...steps, goal: start() }],
    ["nothing", "without an image, for a table that no release has made", { table: halves, memory: {} }],
    ["input", "with an image, for a table that no release has made", { table: halves, goal: start(), minutes: 1 }],
    [
      "foreign",
      "for such a table in the place of its release",
      { table: halves, minutes: 1, memory: { following: id } },
    ],
    [
      "up pinned/0 no %",
      "to replace a release that has no revision",
      { tag: tag("pinned", 0, { id: "r00000000" }), next: null, goal: start() },
    ],
    [
      "wait",
      "while Azure shows an older phase again",
      { ...steps, minutes: 10, seen: { counts: passing }, memory: { following: id, newest: since + minute } },
    ],
    ["foreign", "when the table is somebody else's", { table: [blue(70), green(30)], tag: tag("step", 1), minutes: 2 }],
    [
      "wait",
      "while it can be an own write that Azure still applies",
      { table: [blue(70), green(30)], tag: tag("step", 1), minutes: 0.5 },
    ],
    ["foreign", "without a tag, if it does not know the release", { table: tables.step1, minutes: 30 }],
    [
      "foreign",
      "without a tag, for a check that fails, if it does not know the release",
      { table: tables.step1, minutes: 30, seen: { failing: new Set(["alive"]) } },
    ],
    [
      "note step/1",
      "to start the step again when the tag is lost",
      { table: tables.step1, minutes: 30, memory: { following: id } },
    ],
    [
      "back back/2 no %",
      "when the tag is lost in the bake, because nothing is left to compare with",
      { table: tables.bake, minutes: 30, memory: { following: id } },
    ],
    [
      "note bake/2",
      "to start the bake again when the tag is lost, if it remembers what to compare with",
      { table: tables.bake, minutes: 30, memory: { following: id, base: since } },
    ],
    [
      "input",
      "with another release.yaml, in a step that has passed",
      { ...steps, tag: other(1), minutes: 10, seen: { counts: passing } },
    ],
    ["input", "with another release.yaml, on hold", { ...steps, tag: other(1, { hold: "confirm" }), minutes: 10 }],
    [
      "input",
      "with another release.yaml, in the tests",
      { table: tables.testing, tag: { ...other(0), phase: "testing" } },
    ],
    [
      "back back/1 no %",
      "with another release.yaml, when a check fails",
      { ...steps, tag: other(1), seen: { counts: failing } },
    ],
    [
      "note step/1 hold=stopped last",
      "when somebody stopped the live revision",
      { ...steps, minutes: 10, live: { isActive: false }, seen: { counts: passing } },
    ],
    [
      "note bake/2 hold=stopped last",
      "when somebody stopped the old revision in the bake",
      { ...bakes, minutes: 10, live: { isActive: false }, seen: { counts: passing } },
    ],
    [
      "held",
      "in the tests, when somebody stopped the live revision",
      { table: tables.testing, tag: tag("testing"), live: { isActive: false }, seen: { tests: { ok: true } } },
    ],
    [
      "wait",
      "with the way back while the old revision starts and the new one responds",
      {
        ...bakes,
        live: { health: "unknown" },
        seen: { counts: failing },
        memory: { goingBackSince: since - 2.9 * minute },
      },
    ],
    [
      "back back/2 no %",
      "after 3 minutes, whatever Azure tells about the old revision",
      {
        ...bakes,
        live: { health: "unknown" },
        seen: { counts: failing },
        memory: { goingBackSince: since - 3 * minute },
      },
    ],
    [
      "wait",
      "with the way back while the old revision is unhealthy and the new one responds",
      {
        ...bakes,
        live: { health: "unhealthy" },
        seen: { counts: failing },
        memory: { goingBackSince: since - 9 * minute },
      },
    ],
    [
      "back back/2 no %",
      "when neither of them is healthy",
      { ...bakes, live: { health: "unhealthy" }, next: { health: "unhealthy" }, seen: { counts: failing } },
    ],
    ["wait", "before the table counts more than the tag", { table: tables.step1, tag: tag("step", 2), minutes: 0.5 }],
    [
      "note step/2",
      "by the table when it is further than the tag",
      { table: tables.step2, tag: tag("step", 1), minutes: 2 },
    ],
    [
      "back back/2 no %",
      "when somebody sent a part of the traffic back",
      { table: tables.step1, tag: tag("step", 2), minutes: 2 },
    ],
    ["back back/2 no %", "after somebody else sent the traffic back", { tag: tag("step", 2), minutes: 2 }],
  ])("%s %s", (wanted, _, one) => {
    expect(brief(decide(situation(one)))).toBe(wanted);
  });

  const failures: [string, Partial<Seen>][] = [
    ["bad requests", { counts: failing }],
    ["a restart", { restarts: 1 }],
    ["an unhealthy revision", { isUnhealthy: true }],
    ["failing probes", { failing: new Set(["alive"]) }],
  ];
  const places: [string, Case][] = [
    ["in a step", { ...steps, minutes: 5 }],
    ["at the end of a step", { ...steps, minutes: 10 }],
    ["in the bake", { ...bakes, minutes: 5 }],
    ["while it holds", { ...steps, tag: tag("step", 1, { hold: "confirm" }), minutes: 60 }],
    ["in a step that is approved", { ...steps, tag: tag("step", 1, { approved: "yes" }), minutes: 5 }],
  ];
  test.each(failures.flatMap(([sign, seen]) => places.map(([place, one]) => [sign, place, { ...one, seen }] as const)))(
    "to go back by %s %s",
    (_sign, _place, one) => {
      const action = decide(situation(one));
      expect(brief(action)).toMatch(/^back back\/\d no %$/);
      expect(action).toMatchObject({ traffic: [{ revision: from, weight: 100, label: "blue" }] });
    },
  );

  test("to keep going back once it has seen a failure, whatever the counts say later", () => {
    const memory = { failed: "check 5xx failed" };
    expect(brief(decide(situation({ ...steps, minutes: 10, seen: { counts: passing }, memory })))).toBe(
      "back back/1 no %",
    );
  });

  test("not to count restarts from before the tests", () => {
    const one = { ...steps, tag: tag("step", 1, { restarts: 2 }), minutes: 5 };
    expect(brief(decide(situation({ ...one, seen: { restarts: 2 } })))).toBe("wait");
    expect(brief(decide(situation({ ...one, seen: { restarts: 3 } })))).toBe("back back/1 no %");
  });
});

describe("promote decides", () => {
  test.each<[string, string, Case]>([
    ["note step/1 approved=yes", "to approve a step", { ...steps, ...approving("step", 1) }],
    [
      "note step/1 hold=confirm approved=yes",
      "to approve a hold",
      { ...steps, tag: tag("step", 1, { hold: "confirm" }), ...approving("step", 1) },
    ],
    [
      "up step/2 50 %",
      "to end a step that is approved",
      { ...steps, tag: tag("step", 1, { approved: "yes" }), ...approving("step", 1) },
    ],
    ["wait", "to leave the next step its time", { table: tables.step2, tag: tag("step", 2), ...approving("step", 1) }],
    [
      "up swapped/2 100 %",
      "to end the bake",
      { ...bakes, tag: tag("bake", 2, { approved: "yes" }), ...approving("bake", 2) },
    ],
    ["input", "nothing with a check that fails", { ...steps, seen: { counts: failing }, ...approving("step", 1) }],
    [
      "input",
      "nothing before the first step",
      { table: tables.testing, tag: tag("testing"), ...approving("testing", 0) },
    ],
    ["input", "nothing while no release is under way", {}],
    ["wait", "to finish a way back", { tag: tag("back", 1), ...approving("back", 1) }],
  ])("%s %s", (wanted, _, one) => {
    expect(brief(decide(situation({ goal: promote, ...one })))).toBe(wanted);
  });

  const confirmed = { table: tables.step2, tag: tag("step", 2, { hold: "confirm" }), ...approving("step", 2) };
  const approve = (revision: string, step?: number): Goal => ({ kind: "promote", force: false, revision, step });

  test.each<[string, Goal, Case]>([
    ["note step/2 hold=confirm approved=yes", approve(next, 2), confirmed],
    ["note step/2 hold=confirm approved=yes", approve(next), confirmed],
    // The approval of a release that was aborted, while another one is under way.
    ["input", approve("welcome--r00000000", 2), confirmed],
    ["input", approve("welcome--r00000000"), confirmed],
    // The approval of a step that somebody has promoted already.
    ["input", approve(next, 1), confirmed],
    ["input", approve(next, 2), { ...bakes, ...approving("bake", 2) }],
    ["input", approve(next, 2), { ...confirmed, tag: tag("step", 2, { approved: "yes" }), ...approving("step", 1) }],
    ["input", approve("welcome--r00000000", 1), { tag: tag("back", 1), ...approving("back", 1), minutes: 1 }],
    // The release goes on after the approval.
    ["wait", approve(next, 1), { table: tables.step2, tag: tag("step", 2), ...approving("step", 1) }],
  ])("%s for the approval %j of this revision and step alone", (wanted, goal, one) => {
    expect(brief(decide(situation({ goal, ...one })))).toBe(wanted);
  });

  test("what is approved and what is under way, when it refuses an approval", () => {
    expect(decide(situation({ goal: approve("welcome--r00000000", 1), ...confirmed }))).toMatchObject({
      message: `the approval is for step 1 of welcome--r00000000, but Azure shows step 2 of 2 of ${next}: look at \`npm run release -- status welcome\`, and decide again`,
    });
  });

  test("with --force to go on although a check fails, in this step alone", () => {
    const seen = { counts: failing };
    expect(brief(decide(situation({ ...steps, goal: force, seen, ...approving("step", 1) })))).toBe(
      "note step/1 approved=forced",
    );
    const forced = { ...steps, tag: tag("step", 1, { approved: "forced" }) };
    expect(brief(decide(situation({ ...forced, goal: force, seen, ...approving("step", 1) })))).toBe("up step/2 50 %");
    const second = { table: tables.step2, tag: tag("step", 2), seen: { counts: counts(400, 2000, 0, 2000) } };
    expect(brief(decide(situation({ ...second, goal: force, ...approving("step", 1) })))).toBe("back back/2 no %");
  });
});

describe("abort decides", () => {
  test.each<[string, string, Case]>([
    ["back back/0 no %", "in the tests", { table: tables.testing, tag: tag("testing") }],
    ["back back/1 no %", "in a step", { ...steps }],
    ["back back/2 no %", "in the bake", { ...bakes }],
    ["back back/1 no %", "when the tag is lost", { table: tables.step1 }],
    ["back back/0 no %", "before the revision exists", { tag: tag("pinned"), next: null }],
    ["deactivate next", "after the way back", { tag: tag("back", 1), minutes: 1 }],
    ["aborted", "at its end", { tag: tag("rolled-back", 1), memory: { following: id } }],
    ["nothing", "when the release was rolled back already", { tag: tag("rolled-back", 1) }],
    ["input", "when the new revision is live", { table: tables.swapped, tag: tag("swapped", 2) }],
    ["nothing", "while no release is under way", {}],
    ["back back/1 no %", "with another release.yaml", { ...steps, tag: other(1) }],
    ["back back/1 no %", "at a weight of no step", { table: [blue(70), green(30)], tag: tag("step", 1) }],
    ["back back/1 no %", "without labels", { table: [{ revision: from, weight: 100 }], tag: tag("step", 1) }],
    [
      "note rolled-back/1 last",
      "when a third revision has traffic: that stays",
      { table: [blue(70), { revision: "welcome--x", weight: 30 }], tag: tag("step", 1) },
    ],
    ["note rolled-back/1 last", "in the mode Single", { ...steps, app: { mode: "Single" } }],
    ["foreign", "while a table of no release is split", { table: halves }],
  ])("%s %s", (wanted, _, one) => {
    const action = decide(situation({ goal: abort, ...one }));
    expect(brief(action)).toBe(wanted);
    if (action.kind === "write") expect(action.ignoresLock).toBe(true);
  });
});

describe("promote decides, in a release with another release.yaml,", () => {
  test("to refuse, and names the way out", () => {
    const action = decide(
      situation({ ...steps, tag: other(1, { hold: "confirm" }), goal: force, ...approving("step", 1) }),
    );
    expect(action).toMatchObject({
      outcome: "input",
      message: expect.stringContaining("`npm run release -- abort welcome`"),
    });
  });
});

describe("a release that goes on", () => {
  test("after `promote --force` does not count the restarts that a person has accepted", () => {
    const seen = { restarts: 3 };
    const forced = decide(situation({ ...steps, tag: tag("step", 1, { approved: "forced" }), seen }));
    expect(forced).toMatchObject({ progress: { phase: "step", step: 2, restarts: 3 } });
    const usual = decide(situation({ ...steps, tag: tag("step", 1, { approved: "yes" }), seen: { restarts: 0 } }));
    expect(usual).toMatchObject({ progress: { step: 2, restarts: 0 } });
  });

  test("after its tag was lost counts restarts from then on", () => {
    const lost = { table: tables.step2, tag: tag("step", 1), minutes: 2, seen: { restarts: 4 } };
    expect(decide(situation({ ...lost, tag: tag("step", 1, { restarts: 4 }) }))).toMatchObject({
      progress: { restarts: 4 },
    });
    const { tag: _, ...untagged } = { ...lost, memory: { following: id } };
    expect(decide(situation(untagged))).toMatchObject({ progress: { step: 2, restarts: 4 } });
  });

  test("with a lost tag is not approved by `promote`, before the step starts again", () => {
    const lost = { table: tables.step2, tag: tag("step", 1), minutes: 2, goal: promote, ...approving("step", 2) };
    expect(brief(decide(situation(lost)))).toBe("note step/2");
  });

  test("does not end with the end of an older release of the same revision", () => {
    const one = { tag: tag("rolled-back", 1), memory: { following: id, newest: since + minute }, goal: resume };
    expect(brief(decide(situation(one)))).toBe("nothing");
  });

  test("names active revisions without traffic that belong to no release when it is promoted", () => {
    const revisions = [revision(from, { isActive: false }), revision(next, {}), revision("welcome--0000002", {})];
    const one = { table: tables.swapped, tag: tag("promoted", 2), memory: { following: id }, app: { revisions } };
    expect(decide(situation(one))).toMatchObject({ message: expect.stringContaining("but active: welcome--0000002.") });
  });
});

describe("a message about a table of others", () => {
  test("names the command that ends the release", () => {
    const one = { table: [blue(70), green(30)], tag: tag("step", 1), minutes: 2 };
    expect(decide(situation(one))).toMatchObject({
      outcome: "foreign",
      message: expect.stringContaining("To end this release, run `npm run release -- abort welcome`"),
    });
  });
});

describe("patience", () => {
  const raise = { ...steps, minutes: 10, seen: { counts: passing } };
  const tried = (minutes: number) => ({ attempt: { key: `up ${id}/step/2`, since: since + (10 - minutes) * minute } });

  test("waits with a raise while Azure applies another write, and goes back after 5 minutes", () => {
    const busy = { app: { isBusy: true } };
    expect(brief(choose(situation({ ...raise, ...busy })).action)).toBe("wait");
    expect(brief(choose(situation({ ...raise, ...busy, memory: tried(4.9) })).action)).toBe("wait");
    const { action, memory } = choose(situation({ ...raise, ...busy, memory: tried(5) }));
    expect(brief(action)).toBe("back back/1 no %");
    expect(memory.failed).toContain("Azure did not do this within 5 minutes");
  });

  test("sends all traffic back although Azure says that it applies another write", () => {
    const failed = { ...steps, minutes: 5, seen: { counts: failing }, app: { isBusy: true } };
    expect(brief(choose(situation(failed)).action)).toBe("back back/1 no %");
  });

  test("tries the way back for 10 minutes", () => {
    const failed = { ...steps, minutes: 10, seen: { counts: failing } };
    const trying = (minutes: number) => ({ memory: { goingBackSince: since + (10 - minutes) * minute } });
    expect(brief(choose(situation({ ...failed, ...trying(9.9) })).action)).toBe("back back/1 no %");
    expect(brief(choose(situation({ ...failed, ...trying(10) })).action)).toBe("unconfirmed");
  });

  test("ends as unreachable when the first write does not work, and as promoted when only the old revision stays", () => {
    const first = { goal: start(), next: null, minutes: 10, memory: { attempt: { key: `up ${id}/pinned/0`, since } } };
    expect(brief(choose(situation(first)).action)).toBe("unreachable");
    const last = { table: tables.swapped, tag: tag("swapped", 2), minutes: 10 };
    const memory = { attempt: { key: `deactivate ${from}`, since } };
    expect(brief(choose(situation({ ...last, memory })).action)).toBe("promoted");
  });
});
