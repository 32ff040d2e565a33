// Reads of Cosmos DB at Session consistency are not linearizable by design: Dapr's component sends no session token,
// so a replica that lags may answer a read, also one that follows an acknowledged write of the same client. state-api
// reads the ETag before it checks a condition, so it may also reject a condition that held. With lagging replicas, the
// checker therefore proves a weaker promise:
// - Writes, successful conditions and transactions are linearizable.
// - A read returns a value that was written, and that was not certainly overwritten longer ago than the lag.
// - A rejected write changes nothing. Its condition did not certainly hold for all the time from the lag before the
//   request to the response.
// - Reads at the end, after the lag, return what acknowledged writes left.
// Without lagging replicas, as on an account with Strong consistency, reads and rejections are linearizable, too.
import { expect, test } from "vitest";
import { startCosmosSimulator } from "../simulators/cosmos/simulator.ts";
import { resiliencyResources } from "../support/processes.ts";
import { cosmosFaults } from "./faults.ts";
import { startInstances } from "./instances.ts";
import { runScenario, seconds } from "./run.ts";

test.each([
  { count: 1, instances: "one instance", lagMs: 0, promise: "linearizable" },
  { count: 2, instances: "two instances", lagMs: 0, promise: "linearizable" },
  { count: 2, instances: "two instances", lagMs: 50, promise: "linearizable but for late reads" },
])(
  "every history of $instances on Cosmos DB, replicas $lagMs ms behind, is $promise, whatever fails",
  { timeout: seconds * 1_000 + 120_000 },
  async ({ count, instances: named, lagMs }) => {
    const cosmos = await startCosmosSimulator();
    cosmos.createContainer("dapr-db", "statestore");
    cosmos.replicas.lagMs = lagMs;
    const env = { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key };
    const policy = resiliencyResources("shipped");
    const resources = ["components/cosmos/sidecar-key", policy.folder];
    const { instances, end } = await startInstances({ count, resources, env });
    try {
      const { failures, faults, tooRare } = await runScenario({
        name: `Cosmos DB, ${named}, replicas ${lagMs} ms behind`,
        instances,
        lag: lagMs * 1_000,
        storeFaults: (target) => cosmosFaults(target, cosmos),
      });
      expect(failures).toEqual([]);
      expect([...faults].filter(([, { hits }]) => hits === 0)).toEqual([]);
      expect(tooRare).toEqual([]);
      expect(cosmos.replicas.lateReads > 0).toBe(lagMs > 0);
    } finally {
      await end();
      await cosmos.close();
      policy.remove();
    }
  },
);

test.each(["PUT", "DELETE"] as const)(
  "%s with the ETag of a deleted entry is rejected while the replicas that answer still have the entry",
  async (method) => {
    const cosmos = await startCosmosSimulator();
    cosmos.createContainer("dapr-db", "statestore");
    const env = { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key };
    const policy = resiliencyResources("shipped");
    const resources = ["components/cosmos/sidecar-key", policy.folder];
    const { instances, end } = await startInstances({ count: 1, resources, env });
    try {
      const url = `${instances[0]?.service.origin}/state/deleted`;
      const send = (method: string, headers = {}) =>
        fetch(url, {
          method,
          headers: { "Content-Type": "application/json", ...headers },
          ...(method === "PUT" ? { body: "1" } : {}),
        });
      await send("PUT");
      const etag = (await send("GET")).headers.get("ETag");
      Object.assign(cosmos.replicas, { lagMs: 60_000, everyNth: 1 });
      expect((await send("DELETE")).status).toBe(204);
      expect((await send("GET")).headers.get("ETag")).toBe(etag); // late
      expect((await send(method, { "If-Match": etag })).status).toBe(412);
      cosmos.replicas.lagMs = 0;
      expect((await send("GET")).status).toBe(404);
    } finally {
      await end();
      await cosmos.close();
      policy.remove();
    }
  },
);
