// The provider Microsoft.App: revisions, traffic and labels, and secrets that only listSecrets returns.
// https://learn.microsoft.com/azure/container-apps/revisions
import { isDeepStrictEqual } from "node:util";
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";
import type { Resource, Store } from "./store.ts";

type Secrets = readonly { readonly name: string; readonly value?: string }[];

interface Configuration extends Json {
  readonly activeRevisionsMode?: string;
  readonly secrets?: Secrets;
  readonly ingress?: Json & { readonly external?: boolean; readonly traffic?: readonly Traffic[] };
}

interface Traffic {
  readonly revisionName?: string;
  readonly latestRevision?: boolean;
  /** `az` writes numbers as strings. */
  readonly weight?: number | string;
  readonly label?: string;
}

const revisionType = "Microsoft.App/containerApps/revisions";
/** The default domain of every environment. */
export const domain = "simulator.westeurope.azurecontainerapps.io";

/** Adds a revision when the template changes, and computes traffic, labels and host name. */
export function completeContainerApp(app: Resource, store: Store): Resource {
  const configuration = (app.properties.configuration ?? {}) as Configuration;
  const template = (app.properties.template ?? {}) as Json & { readonly revisionSuffix?: string };
  const { activeRevisionsMode = "Single", ingress } = configuration;
  const revisions = store.list(app.id, revisionType);
  const names = revisions.map(({ name }) => name);
  const isNew = !isDeepStrictEqual(revisions.at(-1)?.properties.template, template);
  if (isNew) names.push(nameRevision(app.name, template.revisionSuffix, names));
  const latest = names.at(-1);
  const traffic = ingress && checkTraffic(ingress.traffic ?? [{ latestRevision: true, weight: 100 }], names);

  for (const name of names) {
    const known = revisions.find((revision) => revision.name === name)?.properties;
    const shares = traffic?.filter((share) => (share.latestRevision ? latest : share.revisionName) === name) ?? [];
    const isReplaced = isNew && name !== latest && activeRevisionsMode.toLowerCase() === "single";
    store.put(`${app.id}/revisions/${name}`, {
      properties: {
        ...(known ?? { active: true, createdTime: new Date().toISOString(), template, healthState: "Healthy" }),
        ...(isReplaced ? { active: false } : {}),
        trafficWeight: shares.reduce((sum, { weight }) => sum + weight, 0),
        labels: shares.flatMap(({ label }) => label ?? []),
      },
    });
  }
  const fqdn = `${app.name}.${ingress?.external ? "" : "internal."}${domain}`;
  return {
    ...app,
    properties: {
      ...app.properties,
      configuration: {
        ...configuration,
        activeRevisionsMode,
        ...(ingress ? { ingress: { ...ingress, traffic, fqdn } } : {}),
      },
      latestRevisionName: latest,
      latestReadyRevisionName: latest,
    },
  };
}

/** Runs an action on an app or a revision. Returns undefined when the request names none. */
export function onContainerApp({ method }: AzureRequest, path: string, store: Store): AzureResponse | undefined {
  const [, id = "", action = ""] =
    /^(.+\/containerApps\/.+)\/(listSecrets|activate|deactivate|restart)$/i.exec(path) ?? [];
  const resource = store.find(id);
  if (method !== "POST" || !resource) return undefined;
  if (action === "listSecrets") {
    return ok({ value: (resource.properties.configuration as Configuration).secrets ?? [] });
  }
  const active = action === "restart" ? resource.properties.active : action === "activate";
  store.put(id, { ...resource, properties: { ...resource.properties, active } });
  return ok({ message: `${action} succeeded.` });
}

/** Removes the values of secrets, as GET and PUT return an app or a component. */
export function hideSecrets(resource: Resource): Resource {
  const { secrets, configuration } = resource.properties as { secrets?: Secrets; configuration?: Configuration };
  const show = (hidden: Secrets) => ({ secrets: hidden.map(({ name }) => ({ name })) });
  return {
    ...resource,
    properties: {
      ...resource.properties,
      ...(secrets ? show(secrets) : {}),
      ...(configuration?.secrets ? { configuration: { ...configuration, ...show(configuration.secrets) } } : {}),
    },
  };
}

function nameRevision(app: string, suffix: string | undefined, taken: readonly string[]): string {
  const name = `${app}--${suffix || String(taken.length + 1).padStart(7, "0")}`;
  // https://github.com/Azure/terraform-azurerm-avm-res-app-containerapp/issues/115
  if (taken.includes(name)) throw invalid("template.revisionsuffix", `revision with suffix ${suffix} already exists.`);
  return name;
}

function checkTraffic(traffic: readonly Traffic[], revisions: readonly string[]) {
  const field = "configuration.ingress.traffic";
  const shares = traffic.map((share) => ({ ...share, weight: Number(share.weight ?? 0) }));
  const sum = shares.reduce((total, { weight }) => total + weight, 0);
  if (sum !== 100) throw invalid(field, `the weights add up to ${sum}, not to 100.`);
  for (const { latestRevision, revisionName } of shares) {
    if (!latestRevision && !revisions.includes(revisionName ?? ""))
      throw invalid(field, `no revision ${revisionName}.`);
  }
  const labels = shares.flatMap(({ label }) => label ?? []);
  if (new Set(labels).size < labels.length) throw invalid(field, "a label occurs twice.");
  return shares;
}

function invalid(field: string, details: string): ArmFault {
  const message = `The following field(s) are either invalid or missing. Field '${field}' is invalid with details: 'Invalid value: ${details}'.`;
  return new ArmFault(400, "InvalidRequestParameterWithDetails", message);
}
