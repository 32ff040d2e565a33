// The control plane of one app: the state that a client asked for, operations that apply it, and the state in force.
// Nothing happens by itself: `settle` makes everything happen that is due by now, in its order.
import { randomUUID } from "node:crypto";
import type { Clock } from "../../../tools/release/run/clock.ts";
import { describeField, provisioningFault } from "../resource-manager/app-faults.ts";
import { ArmFault, OperationFault } from "../resource-manager/faults.ts";
import { type Json, mergePatch, removeNulls } from "../resource-manager/json.ts";
import { checkTraffic, latestOnly, nameRevision, sharesOf, type TrafficShare } from "../resource-manager/traffic.ts";
import { isReady, type Revision, readyAt, runAt } from "./revision.ts";
import {
  completeTemplate,
  findMissingSecret,
  findTemplateFault,
  hasSameContent,
  isSameTemplate,
  showTemplate,
  type Template,
} from "./template.ts";
import { neverReady, type Variant, variantOf } from "./variants.ts";

interface Ingress extends Json {
  readonly external: boolean;
  readonly traffic: readonly TrafficShare[];
  readonly targetPort?: number;
}

/** What a write asks for. */
interface Wanted {
  readonly tags: Readonly<Record<string, string>>;
  readonly mode: string;
  readonly configuration: Json;
  readonly ingress: Ingress | undefined;
  readonly template: Template;
}

/** The traffic from a time on, until the next entry. */
interface Split {
  readonly at: number;
  readonly mode: string;
  readonly traffic: readonly TrafficShare[];
}

/** What can go wrong with the app, until it is switched off. */
interface Switches {
  /** Operations do not end. */
  isStuck: boolean;
  /** Azure accepts and shows a traffic table, and the ingress keeps the one before. */
  keepsWeights: boolean;
  /** Azure drops the tags of a write. */
  dropsTags: boolean;
  /** Azure accepts and shows a write, and takes it back when its operation ends. */
  takesBack: boolean;
  /** After an operation has failed, Azure rejects changes without a template. */
  rejectsWhenFailed: boolean;
  /** A suffix that was used before makes the operation fail, also with the same content. */
  rejectsUsedSuffix: boolean;
}

interface Operation {
  readonly id: string;
  readonly fault: ArmFault | undefined;
  /** What the app goes back to when the operation fails; undefined: it keeps what does not work. */
  readonly before: Wanted | undefined;
  /** Infinity: the operation is stuck. */
  endsAt: number;
}

export interface App {
  readonly id: string;
  readonly name: string;
  readonly location: string;
  readonly switches: Switches;
  readonly createdAt: number;
  wanted: Wanted;
  /** In the order of their creation. */
  readonly revisions: readonly Revision[];
  isBusy(): boolean;
  hasFailed(): boolean;
  settle(): void;
  /** @returns the id of the operation @throws ArmFault */
  write(body: Json, method: "PUT" | "PATCH"): string;
  operation(id: string): { isRunning: boolean; fault: ArmFault | undefined } | undefined;
  /** @throws ArmFault */
  setActive(revision: string, active: boolean): void;
  latestReady(at?: number): Revision | undefined;
  /** The split in force at a time. */
  splitAt(at: number): Split;
  /** Times inside a window when the traffic or a revision changed. */
  changesIn(from: number, to: number): number[];
  /** The weight of each revision that has one. */
  weightsOf(split: Split, at: number): Map<string, number>;
}

export interface AppOptions {
  readonly id: string;
  readonly location: string;
  readonly clock: Clock;
  /** The body of the PUT that creates it. */
  readonly body: Json;
  /** How images behave. Default: variantOf. */
  readonly variants: ((image: string) => Variant) | undefined;
  /** Called when a revision starts, and when it stops. */
  readonly onStart: (revision: Revision) => void;
  readonly onStop: (revision: Revision) => void;
}

const second = 1_000;
/** How long an operation takes. */
const trafficTime = 6 * second;
const templateTime = 15 * second;

export function createApp(options: AppOptions): App {
  const { id, location, clock, variants = variantOf, onStart, onStop } = options;
  const name = id.slice(id.lastIndexOf("/") + 1);
  const createdAt = clock.now();
  const revisions: Revision[] = [];
  const splits: Split[] = [];
  const operations = new Map<string, Operation>();
  const switches: Switches = {
    isStuck: false,
    keepsWeights: false,
    dropsTags: false,
    takesBack: false,
    rejectsWhenFailed: false,
    rejectsUsedSuffix: false,
  };
  let running: Operation | undefined;
  let last: Operation | undefined;
  let settledAt = createdAt;

  const names = () => revisions.map((revision) => revision.name);
  const latestReady = (at = clock.now()) => revisions.findLast((revision) => isReady(revision, at));
  const splitAt = (at: number): Split =>
    splits.findLast((split) => split.at <= at) ?? { at: createdAt, mode: app.wanted.mode, traffic: [] };

  function addRevision(template: Template): void {
    const now = clock.now();
    const [container] = template.containers;
    const image = variants(container?.image ?? "");
    if (image.isMissing) {
      // https://github.com/Azure/azure-cli/issues/30053
      const details = `Invalid value: "${container?.image}": GET https:: MANIFEST_UNKNOWN: manifest unknown; map[]`;
      throw provisioningFault(app, `template.containers.${container?.name}.image`, details);
    }
    const port = container?.env?.find((variable) => variable.name === "PORT")?.value ?? String(portOf(app.wanted));
    // Azure sends its startup probes to the port of the ingress.
    const isFound = port === String(portOf(app.wanted));
    const variant = isFound ? image : neverReady;
    const revision: Revision = {
      name: nameRevision(app, template.revisionSuffix, names()),
      createdAt: now,
      template,
      variant,
      runs: [],
      crashesFrom: undefined,
    };
    revisions.push(revision);
    start(revision, now);
  }

  /** https://github.com/microsoft/azure-container-apps/issues/650 */
  function isAgain(template: Template): boolean {
    const used = revisions.find((revision) => revision.name === `${name}--${template.revisionSuffix}`);
    return used !== undefined && !switches.rejectsUsedSuffix && hasSameContent(used.template, template);
  }

  function start(revision: Revision, from: number): void {
    const { crashesAfter } = revision.variant;
    revision.runs.push({ from, to: Number.POSITIVE_INFINITY });
    revision.crashesFrom = crashesAfter === undefined ? undefined : from + crashesAfter * second;
    onStart(revision);
  }

  function stop(revision: Revision, at: number): void {
    const run = runAt(revision, at);
    if (!run) return;
    run.to = at;
    onStop(revision);
  }

  /** Makes what is wanted the split in force. */
  function apply(at: number): void {
    const { mode, ingress } = app.wanted;
    const before = splitAt(at);
    const wanted = mode === "Single" ? checkTraffic(latestOnly, []) : (ingress?.traffic ?? []);
    const traffic = switches.keepsWeights ? before.traffic : wanted;
    splits.push({ at, mode, traffic });
    for (const revision of revisions) {
      const { crashesAtWeight = Number.POSITIVE_INFINITY } = revision.variant;
      const weight = app.weightsOf({ at, mode, traffic }, at).get(revision.name) ?? 0;
      if (weight >= crashesAtWeight) revision.crashesFrom ??= at + 60 * second;
    }
  }

  function end(operation: Operation, at: number): void {
    running = undefined;
    last = operation;
    if (!operation.fault) apply(at);
    else if (operation.before) app.wanted = operation.before;
  }

  /** In the mode Single, a revision that is ready replaces the ones before it. */
  function replace(at: number): void {
    const ready = latestReady(at);
    if (splitAt(at).mode !== "Single" || !ready) return;
    for (const old of revisions.slice(0, revisions.indexOf(ready))) stop(old, at);
  }

  function settle(): void {
    const now = clock.now();
    if (running && switches.isStuck) running.endsAt = Number.POSITIVE_INFINITY;
    if (running?.endsAt === Number.POSITIVE_INFINITY && !switches.isStuck) running.endsAt = now;
    const starts = revisions.flatMap((revision) => revision.runs.map((run) => readyAt(revision, run)));
    const due = starts.filter((at) => at > settledAt && at <= now);
    for (const at of due.toSorted((a, b) => a - b)) {
      if (running && running.endsAt <= at) end(running, running.endsAt);
      replace(at);
    }
    if (running && running.endsAt <= now) end(running, running.endsAt);
    replace(now);
    settledAt = now;
  }

  /** @throws ArmFault 400 */
  function read(body: Json): Wanted {
    const { tags = {}, properties = {} } = body as { tags?: Record<string, string>; properties?: Json };
    const { configuration = {}, template } = properties as { configuration?: Json; template?: Json };
    const {
      ingress,
      activeRevisionsMode = "Single",
      ...others
    } = configuration as Json & {
      ingress?: Json & { external?: boolean; traffic?: readonly TrafficShare[] };
      activeRevisionsMode?: string;
    };
    // Labels is a preview. This simulator keeps its revisions without a label, which Azure stops.
    const mode = ["Single", "Multiple", "Labels"].find(
      (known) => known.toLowerCase() === activeRevisionsMode.toLowerCase(),
    );
    if (!mode) throw invalid("configuration.activeRevisionsMode", `Invalid value: "${activeRevisionsMode}"`);
    checkTags(tags);
    const completed = completeTemplate(template);
    const fault = findTemplateFault(completed);
    if (fault) throw invalid(...fault);
    const secrets = ((others.secrets ?? []) as readonly { name: string }[]).map((secret) => secret.name);
    const missing = findMissingSecret(completed, secrets);
    if (missing) throw new ArmFault(400, "ContainerAppSecretRefNotFound", `SecretRef '${missing}' not found.`);
    const asked = mode === "Single" ? latestOnly : (ingress?.traffic ?? latestOnly);
    // Nothing says whether a write may name the revision that it creates, so this simulator rejects it.
    const traffic = checkTraffic(asked, names());
    checkLabels(traffic);
    return {
      tags,
      mode,
      configuration: others,
      ingress: ingress && { ...ingress, external: ingress.external ?? false, traffic },
      template: completed,
    };
  }

  const app: App = {
    id,
    name,
    location,
    switches,
    createdAt,
    revisions,
    wanted: { tags: {}, mode: "Single", configuration: {}, ingress: undefined, template: completeTemplate({}) },
    isBusy: () => running !== undefined,
    hasFailed: () => running === undefined && last?.fault !== undefined,
    settle,
    latestReady,
    splitAt,
    write(body, method) {
      settle();
      if (running) throw inProgress(name);
      if (switches.rejectsWhenFailed && app.hasFailed() && !(body.properties as Json | undefined)?.template) {
        // https://github.com/microsoft/azure-container-apps/issues/1233
        throw new ArmFault(400, "ResourceNotProvisioned", `The container app '${name}' is in the state 'Failed'.`);
      }
      const before = app.wanted;
      // A patch replaces all tags: a merge patch would keep those that it does not name.
      const merged = method === "PATCH" ? (mergePatch(asBody(before), body) as Json) : body;
      if (body.tags) merged.tags = body.tags;
      const wanted = read(removeNulls(merged) as Json);
      const latest = revisions.at(-1);
      const isNew = !(latest && isSameTemplate(latest.template, wanted.template)) && !isAgain(wanted.template);
      app.wanted = switches.dropsTags ? { ...wanted, tags: {} } : wanted;
      let fault = switches.takesBack
        ? new OperationFault("ContainerAppOperationError", "Operation failed.")
        : undefined;
      try {
        if (isNew) addRevision(wanted.template);
      } catch (error) {
        if (!(error instanceof OperationFault)) throw error;
        fault = error;
      }
      const endsAt = clock.now() + (isNew ? templateTime : trafficTime);
      // Without its image, the app keeps the template.
      const isKept = variants(wanted.template.containers[0]?.image ?? "").isMissing;
      running = { id: randomUUID(), fault, before: isKept ? undefined : before, endsAt };
      operations.set(running.id, running);
      return running.id;
    },
    operation(operationId) {
      const found = operations.get(operationId);
      return found && { isRunning: found === running, fault: found.fault };
    },
    setActive(revisionName, active) {
      settle();
      const revision = revisions.find((known) => known.name === revisionName);
      if (!revision) throw new ArmFault(404, "RevisionNotFound", `The revision '${revisionName}' was not found.`);
      if (running) throw inProgress(name);
      const now = clock.now();
      if ((runAt(revision, now) !== undefined) === active) return;
      if (active) start(revision, now);
      else stop(revision, now);
    },
    changesIn(from, to) {
      const times = [
        ...splits.map(({ at }) => at),
        ...revisions.flatMap((revision) => [
          revision.crashesFrom ?? from,
          ...revision.runs.flatMap((run) => [readyAt(revision, run), run.to]),
        ]),
      ];
      return [...new Set(times.filter((at) => at > from && at < to))].toSorted((a, b) => a - b);
    },
    weightsOf({ traffic }, at) {
      const ready = latestReady(at)?.name;
      const weights = revisions.map((revision): [string, number] => {
        const shares = sharesOf(traffic, revision.name, ready);
        return [revision.name, shares.reduce((sum, { weight }) => sum + weight, 0)];
      });
      return new Map(weights.filter(([, weight]) => weight > 0));
    },
  };

  app.wanted = read(options.body);
  addRevision(app.wanted.template);
  // It started an hour ago, so it is ready.
  const run = revisions[0]?.runs[0];
  if (run) revisions[0]?.runs.splice(0, 1, { ...run, from: createdAt - 3_600 * second });
  apply(createdAt);
  return app;
}

/** The body of a PUT that asks for the same. */
function asBody({ tags, mode, configuration, ingress, template }: Wanted): Json {
  return {
    tags,
    properties: {
      configuration: { ...configuration, activeRevisionsMode: mode, ingress },
      template: showTemplate(template),
    },
  };
}

/** At which Azure looks for the service. */
const portOf = ({ ingress }: Wanted) => ingress?.targetPort ?? 8080;

function checkTags(tags: Readonly<Record<string, string>>): void {
  const long = Object.values(tags).find((value) => value.length > 256);
  if (long === undefined) return;
  const message = `Tag value too large. Following tag value '${long}' exceeded the maximum length. Maximum allowed length for tag value - '256' characters.`;
  throw new ArmFault(400, "InvalidTagValueLength", message);
}

function checkLabels(traffic: readonly TrafficShare[]): void {
  const wrong = traffic.find(({ label }) => label !== undefined && !/^[a-z0-9]+(-[a-z0-9]+)*$/.test(label));
  if (wrong) throw invalid("configuration.ingress.traffic.label", `Invalid value: "${wrong.label}"`);
}

function invalid(path: string, details: string): ArmFault {
  return new ArmFault(400, "InvalidRequestParameterWithDetails", describeField(path, details));
}

function inProgress(name: string): ArmFault {
  // https://github.com/microsoft/azure-container-apps/issues/1731
  const message = `Cannot modify a container app '${name}' because there is an active provisioning operation in progress.`;
  return new ArmFault(409, "ContainerAppOperationInProgress", message);
}
