// The provider Microsoft.App: revisions, traffic and labels, and secrets that only listSecrets returns.
// https://learn.microsoft.com/azure/container-apps/revisions
import { isDeepStrictEqual } from "node:util";
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { checkPull, checkSecrets, type Secrets } from "./app-access.ts";
import { type CustomDomain, checkDomains } from "./custom-domains.ts";
import type { Json } from "./json.ts";
import type { Registries } from "./registries.ts";
import type { RoleAssignments } from "./role-assignments.ts";
import type { Complete, Resource, Store } from "./store.ts";
import { checkTraffic, latestOnly, nameRevision, sharesOf, type Traffic } from "./traffic.ts";

export interface Configuration extends Json {
  readonly activeRevisionsMode?: string;
  readonly secrets?: Secrets;
  readonly registries?: readonly { readonly server: string; readonly identity?: string }[];
  readonly ingress?: Json & {
    readonly external?: boolean;
    readonly traffic?: readonly Traffic[];
    readonly customDomains?: readonly CustomDomain[];
  };
}

export interface Template extends Json {
  readonly revisionSuffix?: string;
  readonly containers?: readonly { readonly name: string; readonly image: string }[];
}

export interface Surroundings {
  readonly assignments: RoleAssignments;
  readonly registries: Registries;
  /** Whether the replicas of an image start and pass their probes. */
  readonly isReady: (image: string) => boolean;
}

const revisionType = "Microsoft.App/containerApps/revisions";
/** The default domain of every environment. */
export const domain = "simulator.westeurope.azurecontainerapps.io";

/**
 * Adds a revision exactly when the template changes, and computes traffic, labels and host name. A revision that is not
 * ready gets the traffic that names it, but not the traffic for the latest revision; in the mode Single, the old
 * revision stays active until the new one is ready: https://github.com/microsoft/azure-container-apps/issues/497,
 * https://learn.microsoft.com/azure/container-apps/application-lifecycle-management#zero-downtime-deployment. The
 * operation succeeds either way: https://github.com/microsoft/azure-container-apps/issues/1011.
 */
export function completeContainerApp(surroundings: Surroundings): Complete {
  return (app, store) => {
    const configuration = (app.properties.configuration ?? {}) as Configuration;
    const template = (app.properties.template ?? {}) as Template;
    const { activeRevisionsMode = "Single", ingress } = configuration;
    const isSingle = activeRevisionsMode.toLowerCase() === "single";
    const known = store.list(app.id, revisionType);
    const isNew = !isDeepStrictEqual(known.at(-1)?.properties.template, template);
    checkSecrets(app, configuration.secrets ?? [], surroundings.assignments, store);
    checkDomains(app, ingress?.customDomains ?? [], store);
    if (isNew) checkPull(app, template, configuration, surroundings, store);

    const added = isNew ? [createRevision(app, template, known, surroundings)] : [];
    const revisions = [...known, ...added];
    const latest = revisions.at(-1);
    const ready = revisions.findLast(({ properties }) => properties.active && properties.runningState === "Running");
    const asked = isSingle ? undefined : ingress?.traffic;
    const names = revisions.map(({ name }) => name);
    const inDomain = (name: string) => `${name}.${ingress?.external ? "" : "internal."}${domain}`;
    const traffic = ingress && checkTraffic(asked ?? latestOnly, names);
    for (const revision of revisions) {
      const shares = sharesOf(traffic ?? [], revision.name, ready?.name);
      const isReplaced = isSingle && revision !== latest && (revision !== ready || latest === ready);
      store.put(revision.id, {
        properties: {
          ...revision.properties,
          active: revision.properties.active === true && !isReplaced,
          trafficWeight: shares.reduce((sum, { weight }) => sum + weight, 0),
          labels: shares.flatMap(({ label }) => label ?? []),
          ...(ingress ? { fqdn: inDomain(revision.name) } : {}),
        },
      });
    }
    return {
      ...app,
      properties: {
        ...app.properties,
        configuration: {
          ...configuration,
          activeRevisionsMode,
          ...(ingress ? { ingress: { ...ingress, traffic, fqdn: inDomain(app.name) } } : {}),
        },
        customDomainVerificationId: "simulated-id",
        latestRevisionName: latest?.name,
        latestReadyRevisionName: ready?.name,
      },
    };
  };
}

function createRevision(app: Resource, template: Template, known: readonly Resource[], { isReady }: Surroundings) {
  const names = known.map((revision) => revision.name);
  const name = nameRevision(app, template.revisionSuffix, names);
  const areReady = (template.containers ?? []).every(({ image }) => isReady(image));
  const state = areReady
    ? { provisioningState: "Provisioned", healthState: "Healthy", runningState: "Running" }
    : { provisioningState: "Provisioned", healthState: "Unhealthy", runningState: "Failed" };
  const properties: Json = { active: true, createdTime: new Date().toISOString(), template, ...state };
  return { id: `${app.id}/revisions/${name}`, name, type: revisionType, properties };
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
  const show = (hidden: Secrets) => ({ secrets: hidden.map(({ value: _value, ...shown }) => shown) });
  return {
    ...resource,
    properties: {
      ...resource.properties,
      ...(secrets ? show(secrets) : {}),
      ...(configuration?.secrets ? { configuration: { ...configuration, ...show(configuration.secrets) } } : {}),
    },
  };
}
