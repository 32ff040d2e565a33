// The rules of Microsoft.App for names of revisions and for traffic, for all simulators.
// https://learn.microsoft.com/azure/container-apps/traffic-splitting
import { describeField, provisioningFault } from "./app-faults.ts";
import { ArmFault } from "./faults.ts";
import type { Resource } from "./store.ts";

export interface Traffic {
  readonly revisionName?: string;
  readonly latestRevision?: boolean;
  /** `az` writes numbers as strings. */
  readonly weight?: number | string;
  readonly label?: string;
}

/** A row of the traffic table as Azure returns it. */
export interface TrafficShare extends Traffic {
  readonly weight: number;
}

/** What an app has without a table of its own, and always in the mode Single. */
export const latestOnly: readonly Traffic[] = [{ latestRevision: true, weight: 100 }];

/**
 * @param revisions Names of the app's revisions
 * @throws ArmFault 400
 */
export function checkTraffic(traffic: readonly Traffic[], revisions: readonly string[]): TrafficShare[] {
  const shares = traffic.map((share) => ({ ...share, weight: Number(share.weight ?? 0) }));
  const sum = shares.reduce((total, { weight }) => total + weight, 0);
  if (sum !== 100) throw invalidTraffic(`the weights add up to ${sum}, not to 100.`);
  for (const { latestRevision, revisionName } of shares) {
    if (!latestRevision && !revisions.includes(revisionName ?? ""))
      throw invalidTraffic(`no revision ${revisionName}.`);
  }
  const labels = shares.flatMap(({ label }) => label ?? []);
  if (new Set(labels).size < labels.length) throw invalidTraffic("a label occurs twice.");
  return shares;
}

/**
 * The rows of the table that reach a revision.
 *
 * @param ready The revision that gets the traffic for the latest one
 */
export function sharesOf<T extends Traffic>(traffic: readonly T[], revision: string, ready: string | undefined): T[] {
  return traffic.filter((share) => (share.latestRevision ? ready : share.revisionName) === revision);
}

/**
 * @param known Names of the app's revisions
 * @throws OperationFault when the suffix has been used
 */
export function nameRevision(
  app: Pick<Resource, "name">,
  suffix: string | undefined,
  known: readonly string[],
): string {
  const chosen = suffix || String(known.length + 1).padStart(7, "0");
  const name = `${app.name}--${chosen}`;
  if (!known.includes(name)) return name;
  // https://github.com/Azure/terraform-azurerm-avm-res-app-containerapp/issues/115
  const details = `Invalid value: "${chosen}": revision with suffix ${chosen} already exists.`;
  throw provisioningFault(app, "template.revisionsuffix", details);
}

function invalidTraffic(details: string): ArmFault {
  const message = describeField("configuration.ingress.traffic", `Invalid value: ${details}`);
  return new ArmFault(400, "InvalidRequestParameterWithDetails", message);
}
