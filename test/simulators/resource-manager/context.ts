// The functions of ARM templates that depend on the deployment: parameters, variables, ids and run-time values.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions
import { keys } from "./cosmos-accounts.ts";
import { type Call, evaluate, type Thunk, tryProperty } from "./expressions.ts";
import { functions } from "./functions.ts";
import type { Json } from "./json.ts";
import type { Resource } from "./store.ts";

export interface Deployment {
  readonly id: string;
  readonly location: string | undefined;
  readonly template: Json;
  readonly parameters: Json;
}

export interface Context {
  /** Evaluates a value. @param index Number of the item, inside a loop */
  resolve(value: unknown, index?: number): unknown;
  /** The id of a resource with the evaluated type, name, scope and so on. */
  locate(resource: Json): string;
  /** Ids by symbolic name. */
  readonly ids: Map<string, string>;
}

/** @param find Returns a resource of the subscription. */
export function createContext(
  { id, location, template, parameters }: Deployment,
  tenantId: string,
  find: (id: string) => Resource | undefined,
): Context {
  const [subscription = ""] = /^\/subscriptions\/[^/]+/.exec(id) ?? [];
  const scope = id.replace(/\/providers\/Microsoft\.Resources\/deployments\/[^/]+$/i, "");
  const ids = new Map<string, string>();
  const lambdaVariables: Map<unknown, unknown>[] = [];
  const values = (args: readonly Thunk[]) => args.map((argument) => argument());
  const texts = (args: readonly Thunk[]) => values(args).map(String);

  /** Names are in lower case. */
  const contextual: Readonly<Record<string, (...args: Thunk[]) => unknown>> = {
    and: (...args) => args.every((argument) => argument()),
    deployment: () => ({ name: id.split("/").at(-1), location }),
    environment: () => ({
      authentication: { loginEndpoint: "https://login.microsoftonline.com/" },
      suffixes: { acrLoginServer: ".azurecr.io", keyvaultDns: ".vault.azure.net" },
    }),
    extensionresourceid: (...args) => {
      const [base = "", ...rest] = texts(args);
      return resourceId(base, rest);
    },
    if: (condition, yes, no) => (condition?.() ? yes?.() : no?.()),
    lambda: (...args) => {
      const names = values(args.slice(0, -1));
      return (...given: unknown[]) => {
        lambdaVariables.unshift(new Map(names.map((name, index) => [name, given[index]])));
        const result = args.at(-1)?.();
        lambdaVariables.shift();
        return result;
      };
    },
    lambdavariables: (name) => lambdaVariables.find((known) => known.has(name?.()))?.get(name?.()),
    listkeys: (resource) => {
      read(String(resource?.()));
      return keys;
    },
    or: (...args) => args.some((argument) => argument()),
    parameters: (name) => parameter(name?.()),
    pickzones: () => ["1", "2", "3"],
    reference: (...args) => {
      const [name = "", , full] = texts(args);
      const found = read(name);
      return full ? found : found.properties;
    },
    resourcegroup: () => ({ id: scope, name: scope.split("/").at(-1), location: find(scope)?.location }),
    resourceid: (...args) => {
      const all = texts(args);
      const [group, other] = all.splice(0, findType(all)).reverse();
      const root = other ? `/subscriptions/${other}` : subscription;
      return resourceId(group ? `${root}/resourceGroups/${group}` : scope, all);
    },
    subscription: () => ({ id: subscription, subscriptionId: subscription.split("/").at(-1), tenantId }),
    subscriptionresourceid: (...args) => {
      const all = texts(args);
      const [other] = all.splice(0, findType(all));
      return resourceId(other ? `/subscriptions/${other}` : subscription, all);
    },
    tenant: () => ({ tenantId }),
    tenantresourceid: (...args) => resourceId("", texts(args)),
    variables: (name) => evaluate(tryProperty(template.variables, name?.()), call),
  };

  /** @param name symbolic name or id */
  function read(name: string): Resource {
    const found = find(ids.get(name) ?? name);
    if (!found) throw new Error(`The resource '${ids.get(name) ?? name}' could not be found.`);
    return found;
  }

  const call: Call = (name, args) => {
    const key = name.toLowerCase();
    const lazy = contextual[key];
    if (lazy) return lazy(...args);
    const eager = functions[key];
    return eager ? eager(...(values(args) as never[])) : callUserDefined(name, values(args));
  };

  function parameter(name: unknown): unknown {
    const given = tryProperty(parameters, name);
    if (given !== undefined) return tryProperty(given, "value") ?? null;
    return evaluate(tryProperty(tryProperty(template.parameters, name), "defaultValue") ?? null, call);
  }

  /** https://learn.microsoft.com/azure/azure-resource-manager/templates/user-defined-functions */
  function callUserDefined(fullName: string, given: readonly unknown[]): unknown {
    const [namespace, name] = fullName.split(".");
    const spaces = (template.functions ?? []) as { namespace: string; members: Json }[];
    const found = tryProperty(spaces.find((space) => space.namespace === namespace)?.members, name);
    if (!found) throw new Error(`The template function '${fullName}' is not valid.`);
    const names = (tryProperty(found, "parameters") as { name: string }[]).map((item) => item.name);
    return evaluate(tryProperty(tryProperty(found, "output"), "value"), (called, args) =>
      called === "parameters" ? given[names.indexOf(String(args[0]?.()))] : call(called, args),
    );
  }

  return {
    ids,
    resolve: (value, index) =>
      evaluate(value, (called, args) => (called.toLowerCase() === "copyindex" ? index : call(called, args))),
    locate({ type, name, scope: base, resourceGroup, subscriptionId }) {
      const root = subscriptionId ? `/subscriptions/${subscriptionId}` : subscription;
      if (/^Microsoft\.Resources\/resourceGroups$/i.test(String(type))) return `${root}/resourceGroups/${name}`;
      const container = resourceGroup ? `${root}/resourceGroups/${resourceGroup}` : scope;
      return resourceId(String(base ?? container), [String(type), ...String(name).split("/")]);
    },
  };
}

/** The index of the resource type, such as Microsoft.App/containerApps, among the arguments of resourceId(). */
function findType(args: readonly string[]): number {
  return args.findIndex((argument) => argument.includes("/"));
}

function resourceId(base: string, [type = "", ...names]: readonly string[]): string {
  const [namespace, ...types] = type.split("/");
  return `${base}/providers/${namespace}/${types.map((part, index) => `${part}/${names[index]}`).join("/")}`;
}
