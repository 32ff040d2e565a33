// The JSON of an app, its revisions and its replicas, as the API version 2026-07-01 has it.
import type { Json } from "../resource-manager/json.ts";
import type { App } from "./app.ts";
import { createRandom, seedOf } from "./random.ts";
import { countRestarts, isReady, type Revision, runAt, showStates } from "./revision.ts";
import { renameSecretRefs, showTemplate } from "./template.ts";

/** @param domain Of the environment, with a port if it is not 443 */
export function showApp(app: App, domain: string): Json {
  const { id, name, location, wanted, revisions, createdAt } = app;
  const { tags, mode, configuration, ingress, template } = wanted;
  const latest = revisions.at(-1)?.name;
  const fqdn = (host: string) => `${host}.${ingress?.external ? "" : "internal."}${domain}`;
  const environment = `${id.replace(/\/containerApps\/[^/]+$/, "")}/managedEnvironments/cae-simulator`;
  return {
    id,
    name,
    type: "Microsoft.App/containerApps",
    location,
    tags,
    systemData: { createdAt: new Date(createdAt).toISOString(), createdByType: "Application" },
    identity: { type: "None" },
    properties: {
      provisioningState: app.isBusy() ? "InProgress" : app.hasFailed() ? "Failed" : "Succeeded",
      runningStatus: "Running",
      managedEnvironmentId: environment,
      environmentId: environment,
      workloadProfileName: "Consumption",
      outboundIpAddresses: ["192.0.2.1"],
      latestRevisionName: latest,
      latestReadyRevisionName: app.latestReady()?.name,
      latestRevisionFqdn: ingress && latest ? fqdn(latest) : "",
      customDomainVerificationId: "simulated-id",
      configuration: {
        registries: null,
        dapr: null,
        runtime: null,
        maxInactiveRevisions: 100,
        service: null,
        identitySettings: [],
        ...configuration,
        secrets: withoutValues(configuration.secrets),
        activeRevisionsMode: mode,
        ingress: ingress
          ? {
              targetPort: 8080,
              exposedPort: 0,
              transport: "Auto",
              customDomains: null,
              allowInsecure: false,
              ipSecurityRestrictions: null,
              corsPolicy: null,
              clientCertificateMode: null,
              stickySessions: null,
              additionalPortMappings: null,
              ...ingress,
              fqdn: fqdn(name),
            }
          : null,
      },
      template: showTemplate(template),
      eventStreamEndpoint: `https://${location}.azurecontainerapps.dev${id}/eventstream`,
    },
  };
}

/** Only listSecrets returns the values. */
function withoutValues(secrets: unknown): unknown {
  return Array.isArray(secrets) ? secrets.map(({ value: _, ...secret }) => secret) : null;
}

/** Has no labels: https://github.com/microsoft/azure-container-apps/issues/641. */
export function showRevision(app: App, revision: Revision, domain: string, now: number): Json {
  const { ingress } = app.wanted;
  const run = runAt(revision, now);
  const last = revision.runs.at(-1);
  return {
    id: `${app.id}/revisions/${revision.name}`,
    name: revision.name,
    type: "Microsoft.App/containerapps/revisions",
    properties: {
      createdTime: new Date(revision.createdAt).toISOString().replace(/\.\d+Z$/, "+00:00"),
      ...(last && !run ? { lastActiveTime: new Date(last.to).toISOString().replace(/\.\d+Z$/, "+00:00") } : {}),
      ...(ingress ? { fqdn: `${revision.name}.${ingress.external ? "" : "internal."}${domain}` } : {}),
      template: showTemplate(renameSecretRefs(revision.template, app.name)),
      active: run !== undefined,
      replicas: run ? 1 : 0,
      trafficWeight: app.weightsOf(app.splitAt(now), now).get(revision.name) ?? 0,
      ...showStates(revision, now),
    },
  };
}

/** A replica has a new name after each activation. An inactive revision has none. */
export function showReplicas(app: App, revision: Revision, now: number): Json[] {
  const run = runAt(revision, now);
  if (!run || now < run.from + 2_000 || revision.variant.failsToActivate) return [];
  const name = replicaName(revision);
  const ready = isReady(revision, now);
  const runningState = ready ? "Running" : "Waiting";
  return [
    {
      id: `${app.id}/revisions/${revision.name}/replicas/${name}`,
      name,
      type: "Microsoft.App/containerapps/revisions/replicas",
      properties: {
        createdTime: new Date(run.from).toISOString().replace(/\.\d+Z$/, "+00:00"),
        runningState: ready ? "Running" : "NotRunning",
        runningStateDetails: "",
        initContainers: [],
        containers: revision.template.containers.map((container) => ({
          name: container.name,
          containerId: `containerd://${seedOf(name).toString(16)}`,
          ready,
          started: ready,
          restartCount: countRestarts(revision, now),
          runningState,
          runningStateDetails: ready ? "" : countRestarts(revision, now) > 0 ? "CrashLoopBackOff" : "ContainerCreating",
          logStreamEndpoint: `https://${app.location}.azurecontainerapps.dev${app.id}/logstream`,
        })),
      },
    },
  ];
}

/** Of the last run. */
export function replicaName({ name, runs }: Revision): string {
  const random = createRandom(seedOf(`${name} ${runs.length}`));
  const letters = (count: number) =>
    Array.from({ length: count }, () => "bcdfghjklmnpqrstvwxz2456789"[Math.floor(random.next() * 27)]).join("");
  return `${name}-${letters(9)}-${letters(5)}`;
}
