// `plan`: what a release would change, how long it needs at today's traffic, and what speaks against it. Reads only.
import { type App, type Azure, AzureFault, type Revision } from "./azure/azure.ts";
import { type Candidate, candidateOf, imageOf, revisionName } from "./core/candidate.ts";
import { type Counts, looksOf, needed } from "./core/judge.ts";
import { missingSecrets, refusals, refuseTable } from "./core/refuse.ts";
import { stateOf } from "./core/state.ts";
import { commandFor, formatPoints } from "./core/words.ts";
import { type Definition, type RatioCheck, ratioChecks, type Step } from "./definition/definition.ts";
import { formatDuration } from "./definition/duration.ts";
import type { Wanted } from "./options.ts";
import { countRequests } from "./run/observe.ts";
import { alignRows, clean } from "./show/format.ts";

export interface Plan {
  readonly text: string;
  /** What forbids the release, each with its remedy. */
  readonly refusals: readonly string[];
}

export interface PlanInput {
  readonly definition: Definition;
  readonly wanted: Wanted;
  readonly allowQueue: boolean;
  readonly app: App;
  /** Requests of the last hour to all revisions, by name of the check. Without an entry, Azure had no answer. */
  readonly today: ReadonlyMap<string, Counts>;
  /** Why it had none. */
  readonly notes: readonly string[];
}

const HOUR = 3600;
/** Of a step: Azure applies the weights, and counts only whole minutes. */
const LOST_SECONDS = 30 + 60;
/** Between two looks at Azure. */
const LOOK_SECONDS = 15;

export async function readPlan(azure: Azure, input: Omit<PlanInput, "app" | "today" | "notes">): Promise<Plan> {
  const app = await azure.readApp();
  const today = new Map<string, Counts>();
  const notes: string[] = [];
  for (const check of ratioChecks(input.definition)) {
    const to = azure.now() - check.lag * 1000;
    try {
      const counts = await countRequests(azure, check, { from: to - HOUR * 1000, to });
      const all = [...counts.values()];
      const sum = (of: keyof Counts) => all.reduce((total, one) => total + one[of], 0);
      today.set(check.name, { bad: sum("bad"), total: sum("total") });
    } catch (error) {
      if (!(error instanceof AzureFault)) throw error;
      notes.push(`check ${check.name} cannot count requests: ${error.message}`);
    }
  }
  return planOf({ ...input, app, today, notes });
}

export function planOf(input: PlanInput): Plan {
  const { definition, app, wanted, allowQueue } = input;
  const state = stateOf(definition, app);
  if (state.kind === "foreign") {
    return refused(definition, [state.release ? state.message : refuseTable(definition, app, state.message)]);
  }
  if (state.kind === "underway") {
    const { id } = state.progress;
    const text = `the release ${id} is under way. See it with ${commandFor(definition, "status")}`;
    return refused(definition, [text]);
  }
  const { live, last } = state;
  let candidate: Candidate;
  try {
    candidate = candidateOf(definition, live, wanted);
  } catch (error) {
    return refused(definition, [error instanceof Error ? error.message : String(error)]);
  }
  if (candidate.isLive) {
    return {
      text: `${definition.app}: nothing to do. ${live.name} has this image, these variables and all traffic.`,
      refusals: [],
    };
  }
  const against = [...refusals(app, live, allowQueue), ...missingSecrets(app, candidate.template)];
  const wasRolledBack = last?.phase === "rolled-back" && last.id === candidate.id;
  const warnings = [
    ...(wasRolledBack ? [`this release was rolled back (${last.reason ?? "no reason"}). \`run\` needs --retry`] : []),
    ...warningsOf(input, live),
  ];
  const sections = [
    `${definition.app}: a release of ${clean(wanted.image ?? imageOf(definition, live) ?? "the same image")}`,
    table([...changesOf(input, live, candidate)]),
    table(trafficOf(input, live, candidate)),
    timesOf(input).join("\n"),
    list("It costs", costOf(input, live)),
    list("Mind", warnings),
    list("It cannot start", against),
  ];
  return { text: sections.filter((section) => section !== "").join("\n\n"), refusals: against };
}

function refused({ app }: Definition, reasons: readonly string[]): Plan {
  return { text: `${app}: ${list("no release can start", reasons)}`, refusals: reasons };
}

function changesOf({ definition, wanted, app }: PlanInput, live: Revision, { id }: Candidate): string[][] {
  const old = imageOf(definition, live);
  const known = new Set(live.template.containers.flatMap(({ env = [] }) => env.map(({ name }) => name)));
  const variables = Object.keys(wanted.set).map((name) => `${name} (${known.has(name) ? "changed" : "new"})`);
  return [
    ["revision", `${revisionName(definition, id)}, a copy of ${live.name} with these changes:`],
    ["image", wanted.image === undefined || wanted.image === old ? `${old}, the same` : `${old} -> ${wanted.image}`],
    ...(variables.length === 0 ? [] : [["variables", variables.join(", ")]]),
    ...(app.mode === "Multiple" ? [] : [["mode", `${app.mode} -> Multiple, so that both revisions can have traffic`]]),
  ];
}

/** The traffic table before the release, and after each of its writes. */
function trafficOf({ definition }: PlanInput, live: Revision, { id }: Candidate): string[][] {
  const { labels, steps, bake, test } = definition;
  const row = (name: string, weight: number | undefined, lasts: string) => [
    name,
    `${100 - (weight ?? 0)} %`,
    weight === undefined ? "" : `${weight} %`,
    lasts,
  ];
  const tests = test.length === 1 ? "1 test" : `${test.length} tests`;
  return [
    ["", `${live.name} (${labels.live})`, `${revisionName(definition, id)} (${labels.next})`, "lasts"],
    row("now", undefined, ""),
    row("tests", 0, `until it is ready, then ${tests}`),
    ...steps.map(({ weight, for: seconds, confirm }, index) =>
      row(`step ${index + 1}`, weight, formatDuration(seconds) + (confirm ? ", then until promote" : "")),
    ),
    row("bake", 100, formatDuration(bake)),
    ["after", "inactive", `100 % (${labels.live})`, ""],
  ];
}

/** For each check: the requests of today, and whether each step gets enough of them. */
function timesOf({ definition, today }: PlanInput): string[] {
  const { steps, inconclusive } = definition;
  const looks = looksOf(definition);
  return ratioChecks(definition).flatMap((check) => {
    const { name } = check;
    const counts = today.get(name);
    if (counts === undefined) return [];
    const share = counts.total === 0 ? 0 : counts.bad / counts.total;
    const bad = check.source === "metrics" ? "end with 5xx" : `take longer than ${check.over} s`;
    return [
      `${name}: ${rateOf(counts)} requests a second in the last hour, ${percent(share)} of them ${bad}`,
      ...steps.map((step, index) => `  step ${index + 1}: ${timeOf(step, check, counts, share)}`),
      `  up to ${looks} looks at the counts: at most 5 of 100 good versions go back by mistake`,
    ];
  });

  function timeOf({ weight, for: seconds }: Step, check: RatioCheck, counts: Counts, share: number): string {
    const requests = requestsFor(check, weight, share, looks);
    if (requests === undefined) return `no number of requests can pass: ${percent(share)} are bad today`;
    const rate = (counts.total / HOUR) * (weight / 100);
    const what = `${weight} % of ${rateOf(counts)}/s: the ${requests} requests that a margin of ${formatPoints(check.margin)} takes`;
    if (rate === 0) return `${what} never come: ${endOf(inconclusive.then)}`;
    const wait = requests / rate;
    const enough = wait + check.lag + LOST_SECONDS;
    const verdict =
      enough <= seconds
        ? "in time"
        : enough <= seconds + inconclusive.extend
          ? `so the step lasts about ${formatDuration(enough)}`
          : `longer than the step and its extension: ${endOf(inconclusive.then)}`;
    return `${what} need ${formatDuration(wait)}, ${verdict}`;
  }
}

/** @param share of the bad requests of both revisions */
function requestsFor({ margin, max }: RatioCheck, weight: number, share: number, looks: number): number | undefined {
  // The live revision starts with next to no requests, as the new one does.
  return needed({ bad: 0, total: 0 }, { bad: share, total: 1 }, { margin, max, looks }, weight);
}

function endOf(then: "hold" | "abort"): string {
  return then === "hold" ? "the release holds, and you decide" : "the release goes back";
}

function costOf({ definition }: PlanInput, live: Revision): string[] {
  const { steps, bake, checks, inconclusive } = definition;
  const seconds = steps.reduce((sum, step) => sum + step.for, bake);
  const longest = seconds + (steps.length + 1) * inconclusive.extend;
  const replicas = live.template.scale?.minReplicas ?? 0;
  const reads = Math.ceil(seconds / LOOK_SECONDS) * (3 + ratioChecks(definition).length);
  const probes = checks.reduce(
    (sum, check) => (check.source === "probe" ? sum + Math.ceil(seconds / LOOK_SECONDS) : sum),
    0,
  );
  return [
    `${formatDuration(seconds)} without waits for people, ${formatDuration(longest)} if every step is extended`,
    `at least ${replicas} more ${replicas === 1 ? "replica" : "replicas"} for that time`,
    `about ${reads} requests to Azure${probes === 0 ? "" : `, and ${probes} probes to the app`}`,
  ];
}

function warningsOf({ definition, app, notes, today }: PlanInput, live: Revision): string[] {
  const { steps, test, checks } = definition;
  const warnings = [...notes];
  if (app.failure !== undefined) warnings.push(`the last change of the app failed: ${app.failure}`);
  if ((live.template.scale?.minReplicas ?? 0) === 0) {
    warnings.push("the app scales to 0 replicas, so the first requests wait for a start. Set minReplicas to 1");
  }
  const reachesLabel = test.some((one) => "get" in one) || checks.some(({ source }) => source === "probe");
  if (reachesLabel && !app.isExternal) {
    warnings.push(
      "the app has no address outside its environment: run this inside its network, or remove get and probe",
    );
  }
  for (const check of ratioChecks(definition)) {
    const shortest = check.lag + 120;
    const short = steps.flatMap((step, index) => (step.for < shortest ? [index + 1] : []));
    if (short.length > 0) {
      const text = `Azure counts requests for check ${check.name} ${formatDuration(check.lag)} late`;
      warnings.push(`step ${short.join(", ")}: ${text}. Let a step last ${formatDuration(shortest)} or more`);
    }
    if (today.get(check.name)?.total === 0) {
      warnings.push(`check ${check.name} found no request in the last hour, so no data can decide`);
    }
  }
  return warnings;
}

function rateOf({ total }: Counts): string {
  const rate = total / HOUR;
  return rate >= 100 ? String(Math.round(rate)) : rate >= 0.1 || rate === 0 ? rate.toFixed(1) : rate.toPrecision(1);
}

function percent(share: number): string {
  return `${Number((share * 100).toPrecision(2))} %`;
}

function table(rows: readonly (readonly string[])[]): string {
  return alignRows(rows.map((row) => row.map(clean)))
    .map((cells) => `  ${cells.join("  ")}`.trimEnd())
    .join("\n");
}

function list(title: string, items: readonly string[]): string {
  return items.length === 0 ? "" : [`${title}:`, ...items.map((item) => `  - ${clean(item)}`)].join("\n");
}
