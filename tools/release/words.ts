// Sentences that more than one part of a release needs.
import type { Definition } from "./definition.ts";
import type { Hold, Progress } from "./tags.ts";

export function describePhase({ steps }: Definition, { phase, step }: Progress): string {
  if (phase === "step") return `step ${step} of ${steps.length}`;
  return phase === "testing" ? "tests" : phase;
}

const holdReasons: Readonly<Record<Hold, string>> = {
  confirm: "has passed and asks for a person",
  inconclusive: "had too few requests to decide",
  outage: "has more bad requests than `max` at both revisions: look for a cause outside of the new one",
  share: "gives the new revision another share of the requests than its weight",
};

export function holdMessage(definition: Definition, progress: Progress): string {
  const why = progress.hold ? holdReasons[progress.hold] : "holds";
  const { app } = definition;
  return `${describePhase(definition, progress)} ${why}. Go on with \`promote ${app}\`, or back with \`abort ${app}\``;
}

export const rolledBackMessage = ({ id, reason }: Progress, live: string) =>
  `the release ${id} was rolled back to ${live}${reason ? `: ${reason}` : ""}`;
