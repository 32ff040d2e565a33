// What a release cannot do with an app.
import type { App, Revision, Template } from "../azure/azure.ts";
import { secretRefs } from "../azure/secret-refs.ts";
import type { Definition } from "../definition/definition.ts";
import { isLockTag } from "./lock.ts";
import { lockTag, parseProgress, releaseTag } from "./tags.ts";

/** @returns one sentence for each reason, with its remedy */
export function refusals(app: App, live: Revision, allowQueue: boolean): string[] {
  const { scale } = live.template;
  const queue = scale?.rules?.find((rule) => !("http" in rule || "tcp" in rule || isLoad(rule.custom)));
  return [
    ...(app.mode === "Labels"
      ? ["the app has the mode Labels, which stops the old revision: set the mode Multiple"]
      : []),
    ...(app.hasAffinity
      ? ["the app has sticky sessions, which keep callers with the old revision: turn session affinity off"]
      : []),
    ...(app.domain === undefined ? ["the app has no ingress, so there is no traffic to shift: enable ingress"] : []),
    ...foreignTags(app.tags).map(
      (name) => `the tag ${name} of the app is not that of a release: rename or delete it, because a release writes it`,
    ),
    ...(live.isActive ? [] : [`${live.name} has all traffic, but is inactive: activate it`]),
    ...(queue && !allowQueue
      ? [
          `the app scales by ${describe(queue)}: the new revision takes messages before it has any traffic. ` +
            "If it may, add --allow-queue",
        ]
      : []),
  ];
}

/** Names of tags that a release would overwrite, and that somebody uses for something else. */
function foreignTags(tags: App["tags"]): string[] {
  const { [releaseTag]: progress, [lockTag]: lock } = tags;
  return [
    ...(progress !== undefined && !parseProgress(progress) ? [releaseTag] : []),
    ...(lock !== undefined && !isLockTag(lock) ? [lockTag] : []),
  ];
}

/** @param message what the table is, that no release has made */
export function refuseTable({ app: name }: Definition, { traffic, domain }: App, message: string): string {
  if (domain === undefined) return `${message}: enable ingress`;
  const where = `--name ${name} --resource-group $AZURE_RESOURCE_GROUP`;
  const [most, second] = traffic.filter(({ weight }) => weight > 0).toSorted((a, b) => b.weight - a.weight);
  if (!most || !second) return `${message}. Look at: az containerapp revision list ${where} --output table`;
  return (
    `${message}. A release starts when one revision has all traffic. Deploy infra/bicep without LIVE and ` +
    "CANDIDATE_WEIGHT, or give all traffic to the revision that works, such as by: az containerapp ingress traffic " +
    `set ${where} --revision-weight ${most.revision ?? "latest"}=100`
  );
}

/** Azure would reject the new revision. @returns as refusals */
export function missingSecrets({ secrets }: App, template: Template): string[] {
  const missing = new Set(secretRefs(template)).difference(new Set(secrets));
  const known = secrets.length === 0 ? "none" : secrets.join(", ");
  return [...missing].map(
    (name) =>
      `the live revision refers to the secret ${name}, and the secrets of the app are: ${known}. Deploy the app once ` +
      "with the secrets that it needs, or replace the variable with --set",
  );
}

/** Rules of KEDA that measure the replicas themselves: no revision takes work by them. */
function isLoad(custom: unknown): boolean {
  return ["cpu", "memory", "cron"].includes(typeOf(custom));
}

function typeOf(custom: unknown): string {
  if (typeof custom !== "object" || custom === null || !("type" in custom)) return "";
  return String(custom.type);
}

function describe(rule: Readonly<Record<string, unknown>>): string {
  const name = typeof rule.name === "string" ? `the rule ${rule.name}` : "a rule";
  const type = typeOf(rule.custom);
  return type ? `${name} (${type})` : name;
}
