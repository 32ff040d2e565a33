// Deployments of templates, to a subscription or a resource group.
// https://learn.microsoft.com/rest/api/resources/deployments
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";
import type { Operations } from "./operations.ts";
import { preflight } from "./preflight.ts";
import { deploy, type Outputs, type Target } from "./templates.ts";

/** Returns undefined when the path is not a deployment's. */
export function onDeployment(
  { method, url }: AzureRequest,
  path: string,
  body: Json,
  target: Target,
  operations: Operations,
): AzureResponse | undefined {
  const [, id, action] = /^(.+\/providers\/Microsoft\.Resources\/deployments\/[^/]+)(?:\/(.+))?$/i.exec(path) ?? [];
  if (!id) return undefined;
  if (method === "GET" && action === "operations") return ok({ value: [] });
  const isValidation = method === "POST" && action === "validate";
  if (!isValidation && (method !== "PUT" || action)) return undefined;

  const { template, parameters = {}, mode } = (body.properties ?? {}) as Json & { template?: Json; parameters?: Json };
  if (!template) throw new ArmFault(400, "InvalidRequestContent", "The request has no template.");
  const deployment = { id, location: body.location as string | undefined, template, parameters };
  preflight(deployment, target.tenantId, target.store);
  if (isValidation) return ok({ id, properties: { provisioningState: "Succeeded" } });
  // Resources of modules are listed with those of the deployment itself, as in azd's recordings of Azure's responses:
  // https://github.com/Azure/azure-dev/blob/main/cli/azd/test/functional/testdata/recordings/Test_CLI_InfraCreateAndDelete.yaml
  // In this list, azd searches for the app of a service.
  const outputResources: { id: string }[] = [];
  const create = (created: string, properties: Json) => {
    target.create(created, properties);
    outputResources.push({ id: created });
  };
  let outputs: Outputs = {};
  let fault: ArmFault | undefined;
  try {
    outputs = deploy(deployment, { ...target, create });
  } catch (error) {
    fault = describe(error);
  }
  const stored = target.store.put(id, { location: body.location, properties: { mode, outputs, outputResources } });
  return { ...ok(stored), status: 201, headers: operations.start(url, fault) };
}

/** A failed deployment keeps what it created before the failure. */
function describe(error: unknown): ArmFault {
  if (!(error instanceof Error)) throw error;
  const [code, message] = error instanceof ArmFault ? [error.code, error.message] : ["InvalidTemplate", error.message];
  return new ArmFault(
    409,
    "DeploymentFailed",
    `At least one resource deployment operation failed. ${code}: ${message}`,
  );
}
