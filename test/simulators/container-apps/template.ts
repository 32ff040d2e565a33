// Templates as Azure stores and shows them: with the defaults, and with null for what is not set.
import { isDeepStrictEqual } from "node:util";
import { field } from "../../../services/runtime/field.ts";
import { type Json, removeNulls } from "../resource-manager/json.ts";

export interface Template extends Json {
  readonly revisionSuffix: string;
  readonly containers: readonly Container[];
  readonly scale: Json;
}

interface Container extends Json {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly Variable[];
}

/** Not an interface: only a type fits a record of strings. */
type Variable = { readonly name: string; readonly value?: string; readonly secretRef?: string };

/** Adds the defaults, as of the time when the revision is created. */
export function completeTemplate(given: unknown): Template {
  const { containers, scale, revisionSuffix, ...others } = removeNulls(given ?? {}) as Partial<Template>;
  return {
    ...withoutEmpty(others),
    revisionSuffix: revisionSuffix ?? "",
    containers: (containers ?? []).map((container) => ({
      imageType: "ContainerImage",
      resources: { cpu: 0.5, memory: "1Gi", ephemeralStorage: "2Gi" },
      ...(withoutEmpty(container) as Container),
    })),
    scale: { maxReplicas: 10, cooldownPeriod: 300, pollingInterval: 30, ...withoutEmpty(scale ?? {}) },
  };
}

export function showTemplate({ scale, containers, ...others }: Template): Json {
  return {
    terminationGracePeriodSeconds: null,
    initContainers: null,
    volumes: null,
    serviceBinds: null,
    ...others,
    containers: containers.map((container) => ({ probes: [], ...container })),
    scale: { minReplicas: null, rules: null, ...scale },
  };
}

export function isSameTemplate(a: Template, b: Template): boolean {
  return isDeepStrictEqual(a, b);
}

/** Whether they differ at most in their suffix. */
export function hasSameContent(a: Template, b: Template): boolean {
  return isSameTemplate({ ...a, revisionSuffix: "" }, { ...b, revisionSuffix: "" });
}

/**
 * As Azure shows the template of a revision: its variables refer to a secret that the app does not have.
 * https://github.com/microsoft/azure-container-apps/issues/1705
 */
export function renameSecretRefs({ containers, ...others }: Template, app: string): Template {
  const rename = (variable: Variable) =>
    variable.secretRef === undefined ? variable : { ...variable, secretRef: `capp-${app}` };
  const renamed = containers.map(({ env, ...container }) => ({ ...container, ...(env && { env: env.map(rename) }) }));
  return { ...others, containers: renamed };
}

/** The first secret that a template refers to and the app does not have. */
export function findMissingSecret(template: Template, secrets: readonly string[]): string | undefined {
  const refs = JSON.stringify(template).matchAll(/"secretRef":"([^"]*)"/g);
  return [...refs].map(([, name = ""]) => name).find((name) => !secrets.includes(name));
}

/** The first fault of a template; undefined: it has none. */
export function findTemplateFault({
  containers,
  revisionSuffix,
}: Template): [field: string, details: string] | undefined {
  if (containers.length === 0) return ["template.containers", "Invalid value: no containers."];
  const nameless = containers.find((container) => !field(container, "name") || !field(container, "image"));
  if (nameless) return ["template.containers.image", "Invalid value: a container needs a name and an image."];
  if (revisionSuffix !== "" && !/^[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$/.test(revisionSuffix)) {
    return ["template.revisionsuffix", `Invalid value: "${revisionSuffix}"`];
  }
  return undefined;
}

/** Azure does not tell an empty list from one that is not set. */
function withoutEmpty(value: Json): Json {
  return Object.fromEntries(Object.entries(value).filter(([, inner]) => !Array.isArray(inner) || inner.length > 0));
}
