// The rules that a release never breaks, also when Azure fails and when a run is killed. They are checked at each write
// that the simulator accepts, by the state of the simulator: a run may see an older one.

import { isDeepStrictEqual } from "node:util";
import { afterEach, expect } from "vitest";
import type { Goal } from "../../../tools/release/core/goal.ts";
import { compare } from "../../../tools/release/core/judge.ts";
import { lockTag, type Progress, parseProgress, releaseTag } from "../../../tools/release/core/tags.ts";
import type { Definition, RatioCheck } from "../../../tools/release/definition/definition.ts";
import { type Answer, isGood } from "../../../tools/release/run/probe.ts";
import type { Report } from "../../../tools/release/show/report.ts";
import type { App } from "../../simulators/container-apps/app.ts";
import { minute } from "../../simulators/container-apps/requests.ts";
import { isReady, runAt } from "../../simulators/container-apps/revision.ts";
import type { Simulator } from "../../simulators/container-apps/simulator.ts";
import { hasSameContent } from "../../simulators/container-apps/template.ts";
import type { Json } from "../../simulators/resource-manager/json.ts";
import type { TrafficShare } from "../../simulators/resource-manager/traffic.ts";

export interface Rules {
  readonly violations: readonly string[];
  /** A run starts with this goal. */
  asked(goal: Goal): void;
  /** A run reports a look. */
  reported(report: Report): void;
  /** A run has sent a request to the app. */
  probed(url: string, result: Answer): void;
  /** The tests fail for violations, except for these. */
  allow(pattern: RegExp): void;
}

type Wanted = App["wanted"];

const watched: { readonly violations: readonly string[]; readonly allowed: RegExp[] }[] = [];

afterEach(() => {
  const found = watched.flatMap(({ violations, allowed }) =>
    violations.filter((one) => !allowed.some((pattern) => pattern.test(one))),
  );
  watched.length = 0;
  expect(found).toEqual([]);
});

/** @param definition of the releases that follow */
export function watch(simulator: Simulator, definition: Definition): Rules {
  const { app, clock } = simulator;
  const violations: string[] = [];
  const allowed: RegExp[] = [];
  watched.push({ violations, allowed });
  const failed = new Set<string>();
  const tested = new Map<string, boolean>();
  let isPromoting = false;
  let isForeign = false;

  const { write, setActive } = app;
  const { writeAs } = simulator;
  app.write = (body, method) => {
    app.settle();
    const before = app.wanted;
    const id = write(body, method); // throws when Azure rejects it
    if (!isForeign) checkWrite(before, body);
    return id;
  };
  app.setActive = (name, active) => {
    app.settle();
    if (!active && runAt(find(name), clock.now()) && !isForeign) checkStop(name);
    setActive(name, active);
  };
  simulator.writeAs = (body, method) => {
    isForeign = true;
    writeAs(body, method);
    isForeign = false;
  };

  return {
    violations,
    asked(goal) {
      if (goal.kind === "promote") isPromoting = true;
      // It starts anew what was rolled back.
      if (goal.kind === "run" && goal.retry) failed.clear();
    },
    reported({ next, checks }) {
      if (next && checks.some(({ verdict }) => verdict === "fail")) failed.add(next.revision);
    },
    probed: (url, result) => tested.set(url, isGood(result)),
    allow: (pattern) => allowed.push(pattern),
  };

  function violate(what: string): void {
    violations.push(what);
  }

  function find(name: string) {
    return app.revisions.find((revision) => revision.name === name) ?? expect.fail(`no revision ${name}`);
  }

  function weightsOf({ mode, ingress }: Wanted): Map<string, number> {
    const traffic = ingress?.traffic ?? [];
    return app.weightsOf({ at: clock.now(), mode, traffic }, clock.now());
  }

  function checkStop(name: string): void {
    const inForce = app.weightsOf(app.splitAt(clock.now()), clock.now());
    if (inForce.has(name) || weightsOf(app.wanted).has(name)) violate(`${name} stops, and has traffic`);
    const { id = "", from } = parseProgress(app.wanted.tags[releaseTag]) ?? {};
    if (name !== from && name !== `${app.name}--${id}`) violate(`${name} stops, and is not part of the release`);
  }

  function checkWrite(before: Wanted, body: Json): void {
    const { tags, properties = {} } = body as { tags?: Record<string, string>; properties?: Json };
    checkKept(before, tags);
    const was = parseProgress(before.tags[releaseTag]);
    const told = parseProgress(tags?.[releaseTag]);
    if (!told) {
      if (Object.keys(properties).length > 0) violate("a write without a progress changes more than tags");
      return;
    }
    const isRestored = told.phase === "back" && hasSameContent(find(told.from).template, app.wanted.template);
    if ("template" in properties && told.phase !== "created" && !isRestored) {
      violate(`the phase ${told.phase} changes the template`);
    }
    const candidate = `${app.name}--${told.id}`;
    const [old, now] = [weightsOf(before), weightsOf(app.wanted)];
    checkTable(now, told.from, candidate);
    checkRaise(old, now, was, candidate);
    if (labelled(app.wanted, definition.labels.live) === candidate && told.phase === "swapped") {
      if (labelled(before, definition.labels.live) !== candidate) checkJudged(was, candidate);
    }
    if (told.approved !== undefined && was?.approved === undefined && !isPromoting) violate("nobody approved that");
    if (told.phase === "pinned" && !isDeepStrictEqual(old, now)) violate("the first write moves traffic");
    if (told.phase === "back") {
      if (now.has(candidate)) violate(`${candidate} has traffic after the way back`);
      failed.add(candidate);
    }
  }

  /** Tags, labels and settings of others. */
  function checkKept(before: Wanted, tags: Readonly<Record<string, string>> | undefined): void {
    const others = (all: Readonly<Record<string, string>> = {}) =>
      Object.fromEntries(Object.entries(all).filter(([name]) => name !== releaseTag && name !== lockTag));
    if (!isDeepStrictEqual(others(tags), others(before.tags))) violate("a write changes other tags");
    const { traffic: old = [], ...settings } = before.ingress ?? {};
    const { traffic = [], ...newSettings } = app.wanted.ingress ?? {};
    const { live, next } = definition.labels;
    // A label on the latest revision may get the name of the one that it reaches.
    const latest = app.revisions.findLast((revision) => isReady(revision, clock.now()))?.name;
    const labels = (table: readonly TrafficShare[]) =>
      table.flatMap(({ label, revisionName = latest }) =>
        label === undefined || label === live || label === next ? [] : [`${label} ${revisionName}`],
      );
    if (!isDeepStrictEqual(labels(traffic).toSorted(), labels(old).toSorted())) violate("a write changes other labels");
    const isSame = isDeepStrictEqual([settings, before.configuration], [newSettings, app.wanted.configuration]);
    if (!isSame) violate("a write changes settings of the app");
  }

  function checkTable(now: ReadonlyMap<string, number>, from: string, candidate: string): void {
    const sum = [...now.values()].reduce((total, weight) => total + weight, 0);
    if (sum !== 100) violate(`the weights add to ${sum}`);
    const others = [...now.keys()].filter((name) => name !== from && name !== candidate);
    if (others.length > 0) violate(`${others} has traffic, and is not part of the release`);
  }

  function checkRaise(
    old: ReadonlyMap<string, number>,
    now: ReadonlyMap<string, number>,
    was: Progress | undefined,
    candidate: string,
  ): void {
    for (const [name, weight] of now) {
      const isMore = weight > (old.get(name) ?? 0);
      if (isMore && !isReady(find(name), clock.now())) violate(`${name} gets traffic, and no replica of it is ready`);
    }
    const [from, to] = [old.get(candidate) ?? 0, now.get(candidate) ?? 0];
    if (to <= from) return;
    const ladder = [0, ...definition.steps.map(({ weight }) => weight), 100];
    if (ladder.indexOf(to) !== ladder.indexOf(from) + 1) violate(`the new revision goes from ${from} % to ${to} %`);
    if (failed.has(candidate) && was?.approved !== "forced") violate(`${candidate} gets ${to} % after a failure`);
    if (from === 0) checkTested(candidate);
    else checkJudged(was, candidate);
  }

  function checkTested(candidate: string): void {
    const { next } = definition.labels;
    const isLabelled = app
      .splitAt(clock.now())
      .traffic.some((one) => one.label === next && one.revisionName === candidate);
    if (!isLabelled) violate(`${candidate} gets traffic without its label`);
    for (const test of definition.test) {
      if (!("get" in test)) continue;
      const isPassed = [...tested].some(
        ([url, ok]) => ok && url.includes(`${app.name}---${next}.`) && url.endsWith(test.get),
      );
      if (!isPassed) violate(`${candidate} gets traffic without its tests`);
    }
  }

  /** The step or the bake before is over and has passed every check, or `promote` ended it. */
  function checkJudged(was: Progress | undefined, candidate: string): void {
    if (was?.approved) return;
    if (was?.phase !== "step" && was?.phase !== "bake") {
      violate(`${candidate} rises from ${was?.phase}`);
      return;
    }
    const lasts = was.phase === "bake" ? definition.bake : (definition.steps[was.step - 1]?.for ?? 0);
    if (clock.now() + simulator.options.skew - was.since < lasts * 1000)
      violate(`${candidate} rises before the time of ${was.phase} ${was.step}`);
    for (const check of definition.checks) {
      if (check.source !== "probe" && !hasPassed(check, was, candidate)) {
        violate(`${candidate} rises, and ${check.name} has not passed in ${was.phase} ${was.step}`);
      }
    }
  }

  /** By the requests that there were. The run looked some time before its write, so an older look counts, too. */
  function hasPassed(check: RatioCheck, was: Progress, candidate: string): boolean {
    const { since, phase, base = since, from } = was;
    const [own, old] = [longest(was), longest({ ...was, phase: "step" })];
    if (!simulator.options.hasMetrics && check.source === "metrics") return false;
    return [0, 1, 2].some((age) => {
      const end = clock.now() + simulator.options.skew - check.lag * 1000 - age * minute;
      const next = countBad(check, candidate, since, end, own);
      const live =
        phase === "step"
          ? countBad(check, from, since, end, own)
          : countBad(check, from, base, Math.min(since, end), old);
      return next.total > 0 && live.total > 0 && compare(next, live, 1.645).high <= check.margin;
    });
  }

  /** How long a phase lasts without a hold, in milliseconds. */
  function longest({ phase, step }: Progress): number {
    const { steps, bake, inconclusive } = definition;
    return ((phase === "bake" ? bake : (steps[step - 1]?.for ?? 0)) + inconclusive.extend) * 1000;
  }

  /** In the newest whole minutes of a window, which begins 30 seconds after a change of the weights. */
  function countBad(check: RatioCheck, revision: string, since: number, end: number, most: number) {
    const { source, over = 1 } = check;
    let [bad, total] = [0, 0];
    const newest = Math.floor(end / minute) * minute - Math.ceil(most / minute) * minute;
    const first = Math.max(Math.ceil((since + 30_000) / minute) * minute, newest);
    for (let start = first; start + minute <= end; start += minute) {
      for (const row of simulator.requests.inMinute(start)) {
        if (row.revision !== revision) continue;
        total += row.count;
        if (source === "metrics" ? row.status >= 500 : row.duration > over * 1000) bad += row.count;
      }
    }
    return { bad, total };
  }

  function labelled({ ingress }: Wanted, label: string): string | undefined {
    return ingress?.traffic.find((share) => share.label === label)?.revisionName;
  }
}
