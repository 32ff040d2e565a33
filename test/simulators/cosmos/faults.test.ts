import { CosmosClient } from "@azure/cosmos";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "./simulator.ts";

describe("faults of the Cosmos DB simulator", () => {
  let cosmos: CosmosSimulator;
  const clients: CosmosClient[] = [];
  beforeAll(async () => {
    cosmos = await startCosmosSimulator();
    cosmos.createContainer("db", "items");
  });
  afterAll(async () => {
    for (const client of clients) client.dispose();
    await cosmos.close();
  });

  function connect(consistencyLevel: "Session" | "Eventual") {
    const connectionPolicy = { retryOptions: { maxRetryAttemptCount: 0 } };
    const client = new CosmosClient({ endpoint: cosmos.url, key: cosmos.key, consistencyLevel, connectionPolicy });
    clients.push(client);
    const { items, item } = bind(client);
    return {
      write: (id: string, value: number) => items.upsert({ id, partitionKey: id, value }),
      read: async (id: string) => (await item(id, id).read()).resource?.value,
    };
  }

  function bind(client: CosmosClient) {
    const container = client.database("db").container("items");
    return { items: container.items, item: container.item.bind(container) };
  }

  test("a lagging replica answers every second read that has no session token, and none that has one", async () => {
    const session = connect("Session");
    const eventual = connect("Eventual");
    await session.write("lag", 1);
    cosmos.replicas.lagMs = 60_000;
    await session.write("lag", 2);
    expect([await eventual.read("lag"), await eventual.read("lag")].sort()).toEqual([1, 2]);
    expect(await Promise.all([session.read("lag"), session.read("lag")])).toEqual([2, 2]);
    expect(cosmos.replicas.lateReads).toBe(1);
    cosmos.replicas.lagMs = 0;
    expect(await Promise.all([eventual.read("lag"), eventual.read("lag")])).toEqual([2, 2]);
  });

  test.each([
    { answer: 408 as const, code: 408 },
    { answer: 503 as const, code: 503 },
    { answer: false as const, code: "ECONNRESET" },
  ])("a write that fails after its effect is stored: $code", async ({ answer, code }) => {
    const { write, read } = connect("Session");
    await write("late", 1);
    cosmos.after = ({ method }) => (method === "GET" ? true : answer);
    await expect(write("late", 2)).rejects.toMatchObject({ code });
    cosmos.after = () => true;
    expect(await read("late")).toBe(2);
  });

  test("an unreachable store closes connections and keeps its documents", async () => {
    const { write, read } = connect("Session");
    await write("gone", 1);
    cosmos.setReachable(false);
    await expect(fetch(cosmos.url)).rejects.toThrow("fetch failed");
    cosmos.setReachable(true);
    expect(await read("gone")).toBe(1);
  });
});
