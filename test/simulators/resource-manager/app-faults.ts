// Error messages of the provider Microsoft.App.
import { OperationFault } from "./faults.ts";
import type { Resource } from "./store.ts";

/** The fault of an app whose revision cannot be provisioned. Azure accepts the request before it finds that. */
export function provisioningFault({ name }: Pick<Resource, "name">, field: string, details: string): OperationFault {
  const message = `Failed to provision revision for container app '${name}'. Error details: ${describeField(field, details)}`;
  return new OperationFault("ContainerAppOperationError", message);
}

export function describeField(field: string, details: string): string {
  return `The following field(s) are either invalid or missing. Field '${field}' is invalid with details: '${details}'.`;
}
