// Sentences that more than one part of a release needs.

import type { Definition } from "../definition/definition.ts";
import type { Hold, Progress } from "./tags.ts";

/** A command for a message: to paste as it is. */
export const commandFor = ({ app, options = [] }: Definition, name: string) =>
  `\`${["npm run release --", name, app, ...options].join(" ")}\``;

export function describePhase({ steps }: Definition, { phase, step }: Progress): string {
  if (phase === "step") return `step ${step} of ${steps.length}`;
  return phase === "testing" ? "tests" : phase;
}

const holdReasons: Readonly<Record<Exclude<Hold, "silent">, string>> = {
  confirm: "has passed and asks for a person",
  inconclusive: "had too few requests to decide",
  outage: "has more bad requests than `max` at both revisions: look for a cause outside of the new one",
  stopped: "cannot compare, because somebody stopped the live revision: activate it first",
  share: "gives the new revision another share of the requests than its weight",
  blind: "cannot pass, because Azure does not return the counts: look at the role and the metrics of the app",
};

/** Follows the name of a phase. */
export function holdReason({ checks }: Definition, why: Hold): string {
  if (why !== "silent") return holdReasons[why];
  const probes = checks.flatMap((check) =>
    check.source === "probe" ? [`GET ${check.get} of check ${check.name}`] : [],
  );
  return `cannot pass, because ${probes.join(" or ")} fails at both revisions: correct the path in release.yaml, or repair both`;
}

export function holdMessage(definition: Definition, progress: Progress): string {
  const why = progress.hold ? holdReason(definition, progress.hold) : "holds";
  const [on, back] = [commandFor(definition, "promote"), commandFor(definition, "abort")];
  return `${describePhase(definition, progress)} ${why}. Go on with ${on}, or back with ${back}`;
}

/** A difference of two shares: from 1 % to 3 % are 2 points. */
export function formatPoints(difference: number): string {
  const points = Number((difference * 100).toFixed(2));
  return points === 1 ? "1 point" : `${points} points`;
}

/** Begins the reason of a release that left the traffic as it was. */
export const givenUp = "given up, because ";

export const rolledBackMessage = ({ id, reason }: Progress, live: string) =>
  reason?.startsWith(givenUp)
    ? `the release ${id} was ${reason}. The traffic stays as it is`
    : `the release ${id} was rolled back to ${live}${reason ? `: ${reason}` : ""}`;
