// The simulator of Azure Resource Manager in this process, without az: for tests that deploy many times.
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promisify } from "node:util";
import type { Subscription } from "../../stand-ins/azure/resource-manager.ts";
import { createResources } from "../simulators/resource-manager/resources.ts";
import type { Resource } from "../simulators/resource-manager/store.ts";
import { at, listAt, objectAt, textAt } from "./at.ts";
import { shortRun, subscription as subscriptionId } from "./bicep.ts";
import { root as repository } from "./processes.ts";

interface Deployed {
  readonly outputs: Readonly<Record<string, string>>;
  readonly resources: readonly string[];
}

export type SimulatedAzure = ReturnType<typeof simulateAzure>;

export function simulateAzure(options: Parameters<typeof createResources>[0] = {}) {
  const subscription: Subscription = { id: subscriptionId, name: "Simulated", groups: [] };
  const resources = createResources(options);
  const root = `/subscriptions/${subscriptionId}`;

  /** Sends a request without waiting for the operation that it starts. */
  async function request(method: string, path: string, body: unknown = {}) {
    const url = new URL(`https://management.azure.com${path}?api-version=2025-07-01`);
    return resources.handle({ method, url, headers: {}, body: JSON.stringify(body) }, subscription);
  }

  /** Sends a request and waits for its operation. @throws Error with Azure's code and message */
  async function send(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await request(method, path, body);
    const failed = at(response.body, "error");
    if (failed) throw new Error(`${at(failed, "code")}: ${at(failed, "message")}`);
    const operation = response.headers?.["Azure-AsyncOperation"];
    for (let status = operation ? "InProgress" : "Succeeded"; status === "InProgress"; ) {
      const polled = await request("GET", new URL(operation ?? "").pathname);
      status = textAt(polled.body, "status");
      const error = at(polled.body, "error");
      if (error) throw new Error(`${at(error, "code")}: ${at(error, "message")}`);
    }
    return response.body;
  }

  return {
    ...resources,
    root,
    request,
    send,
    /** Like `send` with PUT, but resolves with the resource after the operation. */
    async put(path: string, properties: object, more: object = {}) {
      await send("PUT", path, { location: "westeurope", properties, ...more });
      return { properties: resources.store.find(path)?.properties };
    },
    putGroup: (name: string) => send("PUT", `${root}/resourceGroups/${name}`, { location: "westeurope" }),
    removeGroup: (name: string) => send("DELETE", `${root}/resourceGroups/${name}`),
    /** The resources of a type, in order of creation. */
    list: (type: string) => resources.store.list(root, type),
    /** Creates a managed identity and resolves with its id and its principal. */
    async putIdentity(group: string, name: string) {
      const id = `${root}/resourceGroups/${group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/${name}`;
      const created = await send("PUT", id, { location: "westeurope" });
      return { id, principalId: textAt(created, "properties.principalId") };
    },
    assignRole: (scope: string, roleDefinitionId: string, principalId: string, name: string = randomUUID()) =>
      send("PUT", `${scope}/providers/Microsoft.Authorization/roleAssignments/${name}`, {
        properties: { roleDefinitionId, principalId, principalType: "ServicePrincipal" },
      }),
    /**
     * Deploys a compiled parameter file.
     *
     * @param compiled What `bicep build-params` prints
     * @param group Resource group; undefined: the subscription
     * @param location Region of the deployment
     * @returns the outputs, and the ids of the resources
     */
    async deploy(name: string, compiled: string, group?: string, location = "westeurope"): Promise<Deployed> {
      const { templateJson, parametersJson } = JSON.parse(compiled);
      const scope = group ? `${root}/resourceGroups/${group}` : root;
      const deployment = await send("PUT", `${scope}/providers/Microsoft.Resources/deployments/${name}`, {
        location,
        properties: {
          mode: "Incremental",
          template: JSON.parse(templateJson),
          parameters: JSON.parse(parametersJson).parameters,
        },
      });
      const outputs = Object.entries(objectAt(deployment, "properties.outputs"));
      return {
        outputs: Object.fromEntries(outputs.map(([output, { value }]) => [output, value])),
        resources: listAt(deployment, "properties.outputResources").map((resource) => textAt(resource, "id")),
      };
    },
  };
}

/** The revisions of an app, each with its number, state, labels and traffic, such as `0000001 active blue 80`. */
export function describeRevisions(revisions: readonly Resource[], app = "welcome"): string[] {
  return revisions
    .filter(({ id }) => id.includes(`/${app}/`))
    .map(({ name, properties: { active, labels, trafficWeight } }) =>
      [name.replace(`${app}--`, ""), active ? "active" : "inactive", ...(labels as string[]), trafficWeight].join(" "),
    );
}

/**
 * Compiles a parameter file as az and azd do. Resolves with what `bicep build-params` prints.
 *
 * @param bicep Path of the compiler
 */
export async function buildParameters(
  bicep: string,
  file: string,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  const { HOME = "", PATH = "" } = process.env;
  const settings = { cwd: repository, env: { HOME, PATH, ...shortRun, ...env }, maxBuffer: 16 * 1024 ** 2 };
  return (await promisify(execFile)(bicep, ["build-params", file, "--stdout"], settings)).stdout;
}
