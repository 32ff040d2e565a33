// Between the JSON of Microsoft.App/containerApps and what the release tool knows of an app.
// https://learn.microsoft.com/azure/templates/microsoft.app/containerapps
import { field, listIn } from "../../../services/runtime/field.ts";
import type { App, Change, Container, Replica, Revision, Share, Template } from "./azure.ts";
import { oneLine } from "./fault.ts";
import { restoreSecretRefs } from "./secret-refs.ts";

/**
 * @param revisions another request
 * @param reason why the last change failed, if it did
 */
export function toApp(content: unknown, revisions: readonly unknown[], reason: string | undefined): App {
  const properties = field(content, "properties");
  const configuration = field(properties, "configuration");
  const ingress = field(configuration, "ingress");
  const mode = text(configuration, "activeRevisionsMode");
  const name = text(content, "name") ?? "";
  const host = text(ingress, "fqdn");
  const secrets = listIn(configuration, "secrets").flatMap((secret) => text(secret, "name") ?? []);
  const restore = (template: unknown) =>
    restoreSecretRefs(template, withoutNulls(field(properties, "template")), { app: name, secrets });
  // An ingress for TCP has no requests to count, and no labels.
  const isHttp = text(ingress, "transport")?.toLowerCase() !== "tcp";
  return {
    mode: mode === "Multiple" || mode === "Labels" ? mode : "Single",
    isBusy: !["Succeeded", "Failed", "Canceled"].includes(text(properties, "provisioningState") ?? ""),
    traffic: listIn(ingress, "traffic").map(toShare),
    tags: toTags(field(content, "tags")),
    revisions: revisions.map((revision) => toRevision(revision, restore)).sort((a, b) => a.createdAt - b.createdAt),
    latestReadyRevision: text(properties, "latestReadyRevisionName"),
    domain: isHttp && host?.startsWith(`${name}.`) ? host.slice(name.length + 1) : undefined,
    isExternal: field(ingress, "external") === true,
    hasAffinity: text(field(ingress, "stickySessions"), "affinity")?.toLowerCase() === "sticky",
    secrets,
    failure: hasFailed(content) ? explainFailure(field(properties, "template"), reason) : undefined,
  };
}

/** Names the images of the template that failed: a wrong one is the usual cause. */
function explainFailure(template: unknown, reason = "Azure does not say why"): string {
  const images = listIn(template, "containers").flatMap((container) => text(container, "image") ?? []);
  return images.some((image) => reason.includes(image)) ? reason : `${images.join(", ")}: ${reason}`;
}

export function hasFailed(app: unknown): boolean {
  return text(field(app, "properties"), "provisioningState") === "Failed";
}

function toShare(content: unknown): Share {
  const label = text(content, "label");
  return {
    revision: field(content, "latestRevision") === true ? undefined : text(content, "revisionName"),
    weight: number(content, "weight"),
    ...(label === undefined ? {} : { label }),
  };
}

function toTags(content: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(content ?? {}).map(([key, value]) => [key, String(value)]));
}

function toRevision(content: unknown, restore: (template: unknown) => unknown): Revision {
  const properties = field(content, "properties");
  const health = text(properties, "healthState");
  const [running, provisioning] = [text(properties, "runningState"), text(properties, "provisioningState")];
  const state = [running, provisioning].find((known) => known !== undefined) ?? "Unknown";
  const error = text(properties, "provisioningError");
  return {
    name: text(content, "name") ?? "",
    isActive: field(properties, "active") === true,
    health: health === "Healthy" ? "healthy" : health === "Unhealthy" ? "unhealthy" : "unknown",
    state: error === undefined ? state : `${state}: ${oneLine(error)}`,
    createdAt: Date.parse(text(properties, "createdTime") ?? "") || 0,
    template: toTemplate(field(properties, "template"), restore),
  };
}

/** Without null, which Azure sends for what is not set, and which a PATCH would read as: remove it. */
function toTemplate(content: unknown, restore: (template: unknown) => unknown): Template {
  const { containers, ...others } = restore(withoutNulls(content ?? {})) as Partial<Template>;
  return { ...others, containers: (containers ?? []) as readonly Container[] };
}

function withoutNulls(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNulls);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, item]) => item !== null && item !== undefined);
  return Object.fromEntries(entries.map(([key, item]) => [key, withoutNulls(item)]));
}

export function toReplica(content: unknown): Replica {
  const properties = field(content, "properties");
  const containers = listIn(properties, "containers");
  const isReady = containers.length > 0 && containers.every((container) => field(container, "ready") === true);
  const details = [...containers, properties].map((part) => text(part, "runningStateDetails")).find(Boolean);
  return {
    name: text(content, "name") ?? "",
    isReady,
    ...(isReady || details === undefined ? {} : { details: oneLine(details) }),
    restarts: containers.reduce<number>((sum, container) => sum + number(container, "restartCount"), 0),
  };
}

/**
 * The body of a PATCH, a JSON Merge Patch (RFC 7396): Azure replaces lists and merges objects. So a template also
 * names, with null, what the app's current one has and the new one has not.
 *
 * @param current the app as Azure shows it
 */
export function toPatch({ mode, traffic, tags, template }: Change, current: unknown): unknown {
  const configuration = {
    ...(mode === undefined ? {} : { activeRevisionsMode: mode }),
    ...(traffic === undefined ? {} : { ingress: { traffic: traffic.map(fromShare) } }),
  };
  const properties = {
    ...(Object.keys(configuration).length === 0 ? {} : { configuration }),
    ...(template === undefined ? {} : { template: replace(field(field(current, "properties"), "template"), template) }),
  };
  return {
    ...(tags === undefined ? {} : { tags }),
    ...(Object.keys(properties).length === 0 ? {} : { properties }),
  };
}

function fromShare({ revision, weight, label }: Share): unknown {
  return {
    ...(revision === undefined ? { latestRevision: true } : { revisionName: revision }),
    weight,
    ...(label === undefined ? {} : { label }),
  };
}

/** The merge patch that makes `old` equal to `wanted`, with everything that `wanted` has. */
function replace(old: unknown, wanted: unknown): unknown {
  if (!isRecord(wanted)) return wanted;
  const known = isRecord(old) ? old : {};
  const removed = Object.keys(known).filter((key) => !Object.hasOwn(wanted, key));
  return {
    ...Object.fromEntries(removed.map((key) => [key, null])),
    ...Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, replace(known[key], value)])),
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown, name: string): string | undefined {
  const content = field(value, name);
  return typeof content === "string" && content !== "" ? content : undefined;
}

function number(value: unknown, name: string): number {
  const content = field(value, name);
  return typeof content === "number" && Number.isFinite(content) ? content : 0;
}
