// A small model of an app in Azure, in memory, for the core of `npm run release`. Its time is virtual: it passes while
// the release sleeps, and a little with each request. The simulator in test/simulators/container-apps serves HTTP.
import {
  type App,
  type Azure,
  AzureFault,
  type Change,
  type Revision,
  type Template,
} from "../../../tools/release/azure/azure.ts";
import type { Goal, ReleaseOptions, RunGoal } from "../../../tools/release/core/goal.ts";
import { type Progress, parseProgress } from "../../../tools/release/core/tags.ts";
import type { Definition } from "../../../tools/release/definition/definition.ts";
import type { Clock } from "../../../tools/release/run/clock.ts";
import type { Probe } from "../../../tools/release/run/probe.ts";
import { release } from "../../../tools/release/run/runner.ts";
import type { Outcome, Report } from "../../../tools/release/show/report.ts";

export const minute = 60_000;

export const definition: Definition = {
  app: "welcome",
  labels: { live: "blue", next: "green" },
  test: [{ get: "/" }],
  steps: [
    { weight: 5, for: 600, confirm: false },
    { weight: 50, for: 600, confirm: false },
  ],
  bake: 600,
  checks: [
    { name: "5xx", source: "metrics", margin: 0.01, max: 0.05, lag: 240 },
    { name: "alive", source: "probe", get: "/readyz", every: 5, failures: 3 },
  ],
  inconclusive: { extend: 600, then: "hold" },
};

export const oldRevision = "welcome--old";
export const goodImage = "registry.example/welcome:2";

export const start = (more: Partial<RunGoal> = {}): RunGoal => ({
  kind: "run",
  image: goodImage,
  retry: false,
  once: false,
  allowQueue: false,
  ...more,
});

export const resume: RunGoal = { kind: "run", retry: false, once: false, allowQueue: false };

export interface Request {
  readonly name: keyof Azure;
  readonly change?: Change;
  readonly revision?: string;
}

export interface ModelOptions {
  /** Share of bad requests of a revision. */
  readonly bad?: (revision: string, image: string) => number;
  /** Requests a minute. */
  readonly rate?: number;
  /** Called before each request: another writer. */
  readonly meddle?: (model: Model) => void;
  /** Azure accepts a write with this tag, but its weights never change. */
  readonly ignoresTraffic?: (progress: Progress | undefined) => boolean;
}

export type Model = ReturnType<typeof createModel>;

export function createModel(options: ModelOptions = {}) {
  let now = Date.parse("2026-11-26T08:00:00Z");
  const revisions: Revision[] = [revision(oldRevision, template("registry.example/welcome:1"), now - minute)];
  let app: Pick<App, "mode" | "traffic" | "tags" | "hasAffinity"> = {
    mode: "Single",
    traffic: [{ revision: undefined, weight: 100 }],
    tags: { team: "a" },
    hasAffinity: false,
  };
  const history: { readonly from: number; readonly weights: ReadonlyMap<string, number> }[] = [];
  const requests: Request[] = [];
  const faulty = { unhealthy: new Set<string>(), silent: new Set<string>(), restarts: new Map<string, number>() };

  const clock: Clock = {
    now: () => now,
    sleep: async (milliseconds) => {
      now += milliseconds;
    },
  };

  const azure: Azure = {
    now: () => now,
    readApp: () => request({ name: "readApp" }, show),
    readReplicas: (name) =>
      request({ name: "readReplicas" }, () => [
        { name: `${name}-1`, isReady: true, restarts: faulty.restarts.get(name) ?? 0 },
      ]),
    countErrors: (from, to) => request({ name: "countErrors" }, () => count(from, to)),
    countSlow: (from, to) => request({ name: "countSlow" }, () => count(from, to)),
    patch: async (change, check) => {
      check?.();
      return request({ name: "patch", change }, () => apply(change));
    },
    setActive: async (name, isActive, check) => {
      check?.();
      return request({ name: "setActive", revision: name }, () => {
        const index = revisions.findIndex((one) => one.name === name);
        const found = revisions[index];
        if (!found) throw new AzureFault("missing", `no revision ${name}`);
        if (!isActive && weights().has(name)) throw new Error(`${name} stops although it has traffic`);
        revisions[index] = { ...found, isActive };
      });
    },
  };

  const probe: Probe = async (url) => {
    const label = url.match(/---(\w+)\./)?.[1];
    const holder = app.traffic.find((share) => share.label === label)?.revision;
    const answers =
      revisions.some(({ name, isActive }) => name === holder && isActive) && !faulty.silent.has(holder ?? "");
    return { status: answers ? 200 : 503, body: "Hello" };
  };

  record();
  return { azure, clock, probe, faulty, requests, revisions, show, apply, weights, passTime };

  function passTime(milliseconds: number) {
    now += milliseconds;
  }

  async function request<Answer>(one: Request, answer: () => Answer): Promise<Answer> {
    now += 200;
    options.meddle?.(model());
    requests.push(one);
    return answer();
  }

  function model() {
    return { azure, clock, probe, faulty, requests, revisions, show, apply, weights, passTime };
  }

  function show(): App {
    const shown = revisions.map((one): Revision => {
      const isReady = now - one.createdAt > 20_000;
      const health = faulty.unhealthy.has(one.name) ? "unhealthy" : isReady ? ("healthy" as const) : "unknown";
      return { ...one, health, state: isReady ? "Running" : "Processing" };
    });
    const latestReadyRevision = shown.findLast(({ isActive, health }) => isActive && health === "healthy")?.name;
    const fixed = { isBusy: false, domain: "example.com", isExternal: true, secrets: [], failure: undefined };
    return { ...app, ...fixed, revisions: shown, latestReadyRevision };
  }

  function apply({ mode, traffic, tags, template: content }: Change) {
    if (content) {
      const name = `welcome--${content.revisionSuffix}`;
      if (revisions.every((one) => one.name !== name)) revisions.push(revision(name, content, now));
    }
    app = { ...app, ...(mode && { mode }), ...(tags && { tags }) };
    if (traffic && !options.ignoresTraffic?.(parseProgress(app.tags["release-progress"]))) app = { ...app, traffic };
    const sum = app.traffic.reduce((total, { weight }) => total + weight, 0);
    if (sum !== 100) throw new Error(`the weights add to ${sum}`);
    record();
  }

  function weights(): ReadonlyMap<string, number> {
    const found = new Map<string, number>();
    for (const { revision: name = show().latestReadyRevision ?? "", weight } of app.traffic) {
      if (weight > 0) found.set(name, (found.get(name) ?? 0) + weight);
    }
    return found;
  }

  function record() {
    history.push({ from: now, weights: weights() });
  }

  function count(from: number, to: number) {
    const { rate = 2000, bad = () => 0 } = options;
    const totals = new Map<string, number>();
    for (let time = from; time < to; time += minute) {
      const shares = history.findLast((one) => one.from <= time)?.weights ?? new Map();
      for (const [name, weight] of shares) totals.set(name, (totals.get(name) ?? 0) + (rate * weight) / 100);
    }
    const counts = [...totals].map(([name, total]) => {
      const image = revisions.find((one) => one.name === name)?.template.containers[0]?.image ?? "";
      return [name, { bad: Math.round(total * bad(name, image)), total: Math.round(total) }] as const;
    });
    return new Map(counts);
  }
}

export function template(image: string): Template {
  return {
    containers: [{ name: "welcome", image, env: [{ name: "MESSAGE", value: "Hello" }] }],
    scale: { minReplicas: 1 },
  };
}

function revision(name: string, content: Template, createdAt: number): Revision {
  return { name, isActive: true, health: "unknown", state: "Processing", createdAt, template: content };
}

export interface Run {
  readonly outcome: Outcome;
  readonly message: string;
  readonly reports: readonly Report[];
}

export async function runRelease(model: Model, goal: Goal, more: Partial<ReleaseOptions> = {}): Promise<Run> {
  const reports: Report[] = [];
  let message = "";
  const { azure, clock, probe } = model;
  const outcome = await release({
    definition,
    goal,
    azure,
    clock,
    probe,
    runTest: async () => ({ ok: true }),
    owner: "runner-1",
    show: {
      report: (report) => reports.push(report),
      end: (_, text) => {
        message = text;
      },
    },
    ...more,
  });
  return { outcome, message, reports };
}
