// The revision that a release creates: the template of the live one with another image or other variables.
import { createHash } from "node:crypto";
import type { Container, Revision, Template } from "../azure/azure.ts";
import type { Definition } from "../definition/definition.ts";

export interface Wanted {
  readonly image?: string | undefined;
  readonly set?: Readonly<Record<string, string>> | undefined;
}

export interface Candidate {
  /** Suffix of the revision. The same content always gets the same, so a start that is repeated finds its revision. */
  readonly id: string;
  readonly template: Template;
  /** The live revision has this content already. */
  readonly isLive: boolean;
}

/** @throws Error if it is not clear which container gets the image */
export function candidateOf({ app }: Definition, live: Revision, { image, set = {} }: Wanted): Candidate {
  const { revisionSuffix: _, ...old } = live.template;
  const chosen = containerOf(old.containers, app, image);
  const containers = old.containers.map((container) =>
    container === chosen ? change(container, image, set) : container,
  );
  const content = { ...old, containers };
  const id = idOf(content);
  return { id, template: { ...content, revisionSuffix: id }, isLive: canonical(content) === canonical(old) };
}

const idOf = (template: Template) => `r${createHash("sha256").update(canonical(template)).digest("hex").slice(0, 8)}`;

/** The name that Azure gives to the revision. */
export const revisionName = ({ app }: Definition, id: string) => `${app}--${id}`;

/** Image of the container that a release changes. */
export function imageOf({ app }: Definition, { template }: Revision): string | undefined {
  return pick(template.containers, app, undefined)?.image;
}

function containerOf(containers: readonly Container[], app: string, image: string | undefined): Container {
  const chosen = pick(containers, app, image);
  if (chosen) return chosen;
  const names = containers.map(({ name }) => name).join(", ");
  throw new Error(`the app has the containers ${names}: name the one that the release changes ${app}`);
}

/** The only container, else that of the name of the app, else that with another tag of the same image. */
function pick(containers: readonly Container[], app: string, image: string | undefined): Container | undefined {
  if (containers.length === 1) return containers[0];
  const named = containers.find(({ name }) => name === app);
  if (named || image === undefined) return named;
  const same = containers.filter((container) => repositoryOf(container.image) === repositoryOf(image));
  return same.length === 1 ? same[0] : undefined;
}

/** Without tag and digest. A colon before a slash belongs to the port of a registry. */
const repositoryOf = (image: string) => image.replace(/@.*$/, "").replace(/:[^/:]*$/, "");

function change(container: Container, image: string | undefined, set: Readonly<Record<string, string>>): Container {
  const changed = { ...container, image: image ?? container.image };
  const names = Object.keys(set);
  if (names.length === 0) return changed;
  const old = container.env ?? [];
  // A variable keeps its place, so that the order of the options does not matter.
  const kept = old.map((one) => (one.name !== undefined && Object.hasOwn(set, one.name) ? variable(one.name) : one));
  const added = names.filter((name) => !old.some((one) => one.name === name)).sort();
  return { ...changed, env: [...kept, ...added.map(variable)] };

  function variable(name: string) {
    return { name, value: set[name] ?? "" };
  }
}

/** JSON with sorted keys. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
