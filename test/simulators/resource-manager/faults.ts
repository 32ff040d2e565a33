import type { AzureResponse } from "../../../stand-ins/azure/http.ts";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";

/** Ends a request with an error response. */
export class ArmFault extends Error {
  readonly response: AzureResponse;
  readonly code: string;
  constructor(status: number, code: string, message: string) {
    super(message);
    this.code = code;
    this.response = armError(status, code, message);
  }
}

/** Makes an operation fail whose request was accepted. */
export class OperationFault extends ArmFault {
  constructor(code: string, message: string) {
    super(409, code, message);
  }
}

export function methodNotSupported(method: string): ArmFault {
  return new ArmFault(405, "HttpMethodNotSupported", `The http method '${method}' is not supported.`);
}
