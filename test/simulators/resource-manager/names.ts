// Names and scopes of resources in a template. Azure also checks those of a resource that exists or whose condition is
// false: https://github.com/Azure/bicep/issues/12204
import { ArmFault } from "./faults.ts";
import type { Json } from "./json.ts";

/** The properties of a resource that make its id. */
export function placeOf({ type, name, scope, resourceGroup, subscriptionId }: Json): Json {
  return { type, name, scope, resourceGroup, subscriptionId };
}

/** Checks evaluated properties, except names that depend on a resource and stay expressions. @throws ArmFault */
export function checkNames({ type, name, scope = "-", resourceGroup = "-", subscriptionId = "-" }: Json): void {
  const segments = String(name).split("/");
  const isKnown = !String(name).startsWith("[");
  const isMisfit = isKnown && segments.length !== String(type).split("/").length - 1;
  if (isMisfit || [...segments, scope, resourceGroup, subscriptionId].includes("")) {
    const message = `The template resource '${name}' of type '${type}' has an invalid name or scope.`;
    throw new ArmFault(400, "InvalidTemplate", message);
  }
}
