import type { AzureRequest } from "../../../stand-ins/azure/http.ts";
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";

/** @throws ArmFault 400 */
export function readBody({ body }: AzureRequest): Json {
  try {
    return parseBody(body);
  } catch (error) {
    throw new ArmFault(400, "InvalidRequestContent", `The request content was invalid: ${error}`);
  }
}

/** Parses JSON in which the key `template` may lack its quotes, as in the deployments that `az` sends. */
export function parseBody(text: string): Json {
  return JSON.parse(text.replace(/([{,]\s*)template:/, '$1"template":') || "{}");
}
