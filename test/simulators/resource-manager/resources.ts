// Simulates what Azure Resource Manager does below a subscription: it creates, changes, returns and deletes resource
// groups and resources. Rules of a provider are in a file of their own.
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import type { ResourceHandler, Subscription } from "../../../stand-ins/azure/resource-manager.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { sampleTenantId } from "../../../stand-ins/azure/sample.ts";
import { readBody } from "./body.ts";
import { type Clock, startClock } from "./clock.ts";
import { onContainerApp } from "./container-apps.ts";
import { onCosmosAccount } from "./cosmos-accounts.ts";
import { onDeployment } from "./deployments.ts";
import { ArmFault } from "./faults.ts";
import { onCollection, onResource } from "./generic-resources.ts";
import { onGroup, putGroup, requireGroup } from "./groups.ts";
import { type Json, removeNulls } from "./json.ts";
import { createOperations } from "./operations.ts";
import { createPrivateEndpoints } from "./private-endpoints.ts";
import { createProviders, describeProvider } from "./providers.ts";
import { createRegistries, type RegistryOptions } from "./registries.ts";
import { createRoleAssignments } from "./role-assignments.ts";
import { createStore, type Store, typeOf } from "./store.ts";
import { createVaults } from "./vaults.ts";
import { createWorkspaces } from "./workspaces.ts";

export interface Resources extends ResourceHandler {
  readonly store: Store;
  readonly clock: Clock;
  /** Adds an image to a registry, as `docker push` does. */
  push(image: string): void;
}

interface Options extends Partial<RegistryOptions> {
  /** Seconds on the virtual clock until a role takes effect. */
  readonly roleDelay?: number;
  /** Whether the replicas of an image start and pass their probes. Default: yes. */
  readonly isReady?: (image: string) => boolean;
}

export function createResources(options: Options = {}): Resources {
  const { roleDelay = 60, isReady = () => true, hasTasks = true, storage = "" } = options;
  const clock = startClock();
  const vaults = createVaults(clock);
  const workspaces = createWorkspaces(clock);
  const registries = createRegistries({ hasTasks, storage });
  const assignments = createRoleAssignments(clock, roleDelay);
  const providers = createProviders(
    { assignments, registries, isReady },
    { vault: vaults.complete, workspace: workspaces.complete, privateEndpoint: createPrivateEndpoints(clock) },
  );
  const store = createStore(providers, (removed) => {
    vaults.keepDeleted(removed);
    workspaces.keepDeleted(removed);
  });
  const operations = createOperations();
  const context = { store, operations, clock, assignments };
  return { store, clock, push: registries.push, handle };

  async function handle(request: AzureRequest, subscription: Subscription): Promise<AzureResponse> {
    try {
      return route(request, subscription);
    } catch (error) {
      if (error instanceof ArmFault) return error.response;
      throw error;
    }
  }

  function route(request: AzureRequest, subscription: Subscription): AzureResponse {
    const path = decodeURIComponent(request.url.pathname).replace(/\/$/, "");
    const [, below = ""] = /^\/subscriptions\/[^/]+(.*)$/i.exec(path) ?? [];
    const [, operation] = /^\/operations\/(.+)$/.exec(below) ?? [];
    if (operation) return operations.poll(path, operation);
    const [, namespace] = /^\/providers\/([^/]+)(?:\/register)?$/i.exec(below) ?? [];
    if (namespace) return ok(describeProvider(path, namespace));
    const [, group, inGroup] = /^\/resourcegroups\/([^/]+)(\/.+)?$/i.exec(below) ?? [];
    if (group && !inGroup) return onGroup(request, path, group, subscription, context);
    if (group) requireGroup(subscription, group);
    const body = readBody(request);
    const create = (id: string, created: Json) => void putResource(id, created, subscription);
    return (
      onDeployment(request, path, body, { store, clock, tenantId: sampleTenantId, create }, operations) ??
      vaults.handle(request, path, operations) ??
      registries.handle(request, path, store, operations) ??
      onContainerApp(request, path, store) ??
      onCosmosAccount(request, path, store) ??
      (typeOf(path) ? onResource(request, path, body, context) : onCollection(request, path, store))
    );
  }

  function putResource(id: string, body: Json, subscription: Subscription): void {
    const [, group] = /^\/subscriptions\/[^/]+\/resourceGroups\/([^/]+)$/i.exec(id) ?? [];
    if (group) putGroup(subscription, group, body);
    store.put(id, removeNulls(body) as Json);
  }
}
