// Private endpoints of the provider Microsoft.Network: each updates its subnet until it is created, and meanwhile the
// subnet accepts no other one. https://github.com/Azure/bicep-ptn-aiml-landing-zone/issues/41
import { type Clock, durationOf } from "./clock.ts";
import { ArmFault } from "./faults.ts";
import type { Complete } from "./store.ts";

export function createPrivateEndpoints(clock: Clock): Complete {
  /** Ends of the updates on the virtual clock, by the subnet's id in lower case. */
  const updates = new Map<string, number>();
  return (endpoint) => {
    const { id: subnet } = endpoint.properties.subnet as { readonly id: string };
    if ((updates.get(subnet.toLowerCase()) ?? 0) > clock.now) {
      const message = `Cannot proceed with operation because resource ${subnet} used by resource ${endpoint.id} is not in Succeeded state. Resource is in Updating state and the last operation that updated/is updating the resource is PutSubnetOperation.`;
      throw new ArmFault(429, "ReferencedResourceNotProvisioned", message);
    }
    updates.set(subnet.toLowerCase(), clock.now + durationOf(endpoint.type));
    return endpoint;
  };
}
