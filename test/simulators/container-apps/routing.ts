// Which revision a request reaches, by its host name.
import type { Probe } from "../../../tools/release/run/probe.ts";
import { sharesOf, type TrafficShare } from "../resource-manager/traffic.ts";
import type { App } from "./app.ts";
import { createRandom, type Random } from "./random.ts";
import { isReady, type Revision } from "./revision.ts";
import type { Simulator } from "./simulator.ts";
import { canFail } from "./variants.ts";

export interface Route {
  readonly revision: Revision;
  /** Of the app's traffic, in percent. */
  readonly weight: number;
}

/**
 * `APP` reaches a revision by weight, `APP---LABEL` the one with the label, `APP--SUFFIX` the one with the suffix.
 *
 * @param host without the domain
 * @returns undefined for a host that reaches no revision
 */
export function route(app: App, host: string, random: Random, now: number): Route | undefined {
  const split = app.splitAt(now);
  const weights = app.weightsOf(split, now);
  const found = findRevision();
  return found && { revision: found, weight: weights.get(found.name) ?? 0 };

  function findRevision(): Revision | undefined {
    const [, label] = new RegExp(`^${app.name}---(.+)$`).exec(host) ?? [];
    if (label !== undefined) return byLabel(split.traffic, label);
    if (host !== app.name) return app.revisions.find(({ name }) => name === host);
    let at = random.next() * 100;
    for (const [name, weight] of weights) {
      at -= weight;
      if (at < 0) return app.revisions.find((revision) => revision.name === name);
    }
    return undefined;
  }

  function byLabel(traffic: readonly TrafficShare[], label: string): Revision | undefined {
    const ready = app.latestReady(now)?.name;
    const labelled = traffic.filter((share) => share.label === label);
    return app.revisions.find(({ name }) => sharesOf(labelled, name, ready).length > 0);
  }
}

/** What a request to the app's addresses gets, without processes and without HTTP. */
export function createProbe(simulator: Simulator, seed = 1): Probe {
  const random = createRandom(seed);
  return async (address) => {
    simulator.app.settle();
    const { hostname, pathname } = new URL(address);
    const now = simulator.clock.now();
    const found = route(simulator.app, hostname.split(".")[0] ?? "", random, now);
    if (!found) return { status: 404, body: "Error 404 - This Container App is stopped or does not exist." };
    const { revision, weight } = found;
    if (!isReady(revision, now)) return { status: 503, body: "upstream connect error" };
    const isBad = canFail(revision.variant, pathname, weight) && random.next() < (revision.variant.errors ?? 0);
    if (isBad) return { status: 500, body: "Internal Server Error" };
    return { status: 200, body: pathname === "/" ? greetingOf(revision) : "ok" };
  };
}

function greetingOf({ template }: Revision): string {
  const variable = template.containers[0]?.env?.find(({ name }) => name === "WELCOME");
  return variable?.value ?? "Hello from Super API on Container Apps";
}
