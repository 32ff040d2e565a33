import { Fault } from "./http.ts";

export type ConsistencyLevel = "Strong" | "BoundedStaleness" | "Session" | "ConsistentPrefix" | "Eventual";

const strongestFirst: readonly string[] = ["Strong", "BoundedStaleness", "Session", "ConsistentPrefix", "Eventual"];

/**
 * Allows the account's consistency level and weaker ones.
 * @throws Fault 400
 */
export function checkConsistency(requested: string | undefined, ofAccount: ConsistencyLevel): void {
  if (requested === undefined) return;
  const index = strongestFirst.indexOf(requested);
  if (index === -1) throw new Fault(400, `Consistency level ${requested} specified in the request is invalid.`);
  if (index < strongestFirst.indexOf(ofAccount)) {
    throw new Fault(
      400,
      `ConsistencyLevel ${requested} specified in the request is invalid when service is configured with consistency ` +
        `level ${ofAccount}. Ensure the request consistency level is not stronger than the service consistency level.`,
    );
  }
}
