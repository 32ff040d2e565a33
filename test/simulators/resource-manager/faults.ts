import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";

/** Ends a request with an error response. */
export class ArmFault extends Error {
  readonly response: AzureResponse;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.response = armError(status, code, message);
  }
}

export function methodNotSupported(method: string): ArmFault {
  return new ArmFault(405, "HttpMethodNotSupported", `The http method '${method}' is not supported.`);
}
