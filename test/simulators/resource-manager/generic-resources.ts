// Resources of all providers, and lists of them: https://learn.microsoft.com/rest/api/resources/resources
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { type Clock, durationOf } from "./clock.ts";
import { hideSecrets } from "./container-apps.ts";
import { ArmFault, methodNotSupported, OperationFault } from "./faults.ts";
import { type Json, mergePatch, removeNulls } from "./json.ts";
import { checkLocks } from "./locks.ts";
import { leaveZone } from "./managed-clusters.ts";
import type { Operations } from "./operations.ts";
import { type RoleAssignments, roles } from "./role-assignments.ts";
import { parentOf, type Store, typeOf } from "./store.ts";

/** Types whose operations are asynchronous. All others end at once; Cosmos DB must not even return 201 or 202. */
const asynchronous = /^Microsoft\.(App\/(containerApps|managedEnvironments)|Resources\/deployments)$/i;
const noContent: AzureResponse = { status: 204, body: undefined };

interface Context {
  readonly store: Store;
  readonly operations: Operations;
  readonly clock: Clock;
  readonly assignments: RoleAssignments;
}

export function onResource({ method, url }: AzureRequest, path: string, body: Json, context: Context): AzureResponse {
  const { store, operations } = context;
  const old = store.find(path);
  const type = typeOf(path);
  const isAsynchronous = asynchronous.test(type);
  if (method !== "GET" && type === "Microsoft.App/containerApps" && operations.isRunning(path)) {
    // https://github.com/microsoft/azure-container-apps/issues/1731
    const message = `Cannot modify a container app '${old?.name}' because there is an active provisioning operation in progress.`;
    throw new ArmFault(409, "ContainerAppOperationInProgress", message);
  }
  if (method === "DELETE") {
    checkLocks(path, store);
    const isCluster = type.toLowerCase() === "microsoft.containerservice/managedclusters";
    if (isCluster && old) leaveZone(old, store, context.assignments);
    if (store.remove(path).length === 0) return noContent;
    return isAsynchronous || isCluster ? operations.accept(url) : ok(old);
  }
  if (method === "PUT") {
    const parent = parentOf(path);
    if (parent && !store.find(parent)) {
      const message = `Failed to perform 'write' on resource(s) of type '${type}', because the parent resource '${parent}' could not be found.`;
      throw new ArmFault(404, "ParentResourceNotFound", message);
    }
    const { written, fault } = write(path, body, context);
    if (!isAsynchronous) return ok(written);
    return { ...ok(written), status: old ? 200 : 201, headers: operations.start(url, fault) };
  }
  if (!old) {
    const message = `The Resource '${type}/${path.slice(path.lastIndexOf("/") + 1)}' was not found.`;
    throw new ArmFault(404, "ResourceNotFound", message);
  }
  if (method === "GET") return ok(hideSecrets(old));
  if (method === "HEAD") return noContent;
  if (method !== "PATCH") throw methodNotSupported(method);
  const { written, fault } = write(path, mergePatch(old, body) as Json, context);
  return isAsynchronous ? operations.accept(url, url, fault) : ok(written);
}

/** Stores a resource. When its operation fails, the old one stays. */
function write(path: string, body: Json, { store, clock }: Context): { written: Json; fault?: ArmFault } {
  try {
    const written = store.put(path, removeNulls(body) as Json);
    clock.now += durationOf(written.type);
    return { written: hideSecrets(written) };
  } catch (error) {
    if (error instanceof OperationFault) return { written: { ...body, id: path }, fault: error };
    throw error;
  }
}

export function onCollection({ method, url }: AzureRequest, path: string, store: Store): AzureResponse {
  if (method !== "GET") throw methodNotSupported(method);
  const filter = url.searchParams.get("$filter") ?? "";
  const [, wanted = ""] = /^(?:resourceType|roleName) eq '(.+)'$/.exec(filter) ?? [];
  const scope = path.replace(/(\/providers\/[^/]+)?\/[^/]+$/i, "");
  const type = path === `${scope}/resources` ? wanted : typeOf(`${path}/any`);
  if (/\/roleDefinitions$/i.test(type)) return ok({ value: describeRole(scope, wanted) });
  if (!type) throw new ArmFault(404, "InvalidResourceType", "The resource type could not be found.");
  return ok({ value: store.list(scope, type).map(hideSecrets) });
}

/** The id of a role has the subscription, also when the role is listed at a resource. */
function describeRole(scope: string, roleName: string) {
  const [subscription = ""] = /^\/subscriptions\/[^/]+/i.exec(scope) ?? [];
  const name = Object.entries(roles).find(([known]) => known.toLowerCase() === roleName.toLowerCase())?.[1];
  const type = "Microsoft.Authorization/roleDefinitions";
  return name ? [{ id: `${subscription}/providers/${type}/${name}`, name, type, properties: { roleName } }] : [];
}
