import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "../../simulators/cosmos/simulator.ts";
import { freeze } from "../../support/freeze.ts";
import { patience, resiliencyResources, root, sqliteResources } from "../../support/processes.ts";
import { countStatuses, type StateApiPair, startStateApi } from "../../support/state-api.ts";

/** Starts a service whose sidecar has the resources of `folder`, and an empty container for its component. */
async function start(
  folder: string,
): Promise<{ cosmos: CosmosSimulator; pair: StateApiPair; restartSidecar: () => Promise<void> }> {
  const cosmos = await startCosmosSimulator();
  onTestFinished(() => cosmos.close());
  cosmos.createContainer("dapr-db", "statestore");
  const policy = resiliencyResources("patient");
  onTestFinished(policy.remove);
  const pair = await startStateApi({
    resources: [folder, policy.folder],
    env: patience,
    sidecarEnv: { COSMOS_URL: cosmos.url, COSMOS_KEY: cosmos.key },
  });
  onTestFinished(() => pair.end());
  const restartSidecar = async () => {
    await pair.sidecar.end();
    const restarted = await pair.sidecar.restart();
    onTestFinished(async () => void (await restarted.end()));
  };
  return { cosmos, pair, restartSidecar };
}

/** A copy of the component for Cosmos DB. */
function copyComponent(): string {
  const folder = mkdtempSync(join(tmpdir(), "restarted-sidecar-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  cpSync(join(root, "components/cosmos/sidecar-key"), folder, { recursive: true });
  return folder;
}

test("10 saves at once are stored after the idle service's sidecar has restarted on Cosmos DB instead of SQLite", async () => {
  const { folder, remove } = sqliteResources();
  onTestFinished(remove);
  const { cosmos, pair, restartSidecar } = await start(folder);
  const keys = Array.from({ length: 10 }, (_, index) => `k${index}`);
  const save = () => Promise.all(keys.map((key) => pair.send("PUT", `/state/${key}`, { body: key })));
  expect(countStatuses(await save())).toEqual({ 204: 10 }); // so the service knows that writes can be batched
  cpSync(join(root, "components/cosmos/sidecar-key"), folder, { recursive: true });
  await restartSidecar();
  cosmos.latencyMs = 50; // so that a service that batches would gather the others while the first one is at the store
  await expect.poll(async () => countStatuses(await save()), { timeout: 10_000 }).toEqual({ 204: 10 });
  const entries = await Promise.all(keys.map((key) => pair.send("GET", `/state/${key}`)));
  expect(entries.map(({ text }) => text)).toEqual(keys.map((key) => `"${key}"`));
  expect(cosmos.requests.filter(({ method }) => method === "POST").length).toBeGreaterThanOrEqual(10);
});

test.each([
  ["ended", async () => {}],
  [
    "was killed while it hung",
    async ({ sidecar, send }: StateApiPair) => {
      await freeze(sidecar.pid);
      expect(await send("PUT", "/state/hung", { body: 1 })).toMatchObject({ status: 503 });
      process.kill(sidecar.pid, "SIGKILL");
    },
  ],
])("conditional changes succeed after the sidecar, which %s, has restarted with a keyPrefix", async (_, end) => {
  const folder = copyComponent();
  const { pair, restartSidecar } = await start(folder);
  const change = async (key: string) => {
    const path = `/state/${key}`;
    const etag = async () => String((await pair.send("GET", path)).headers.etag);
    const send = (method: "PUT" | "DELETE", ifMatch: string) =>
      pair.send(method, path, { ...(method === "PUT" ? { body: 2 } : {}), headers: { "If-Match": ifMatch } });
    const created = await pair.send("PUT", path, { body: 1 });
    const old = await etag();
    const replaced = await send("PUT", old);
    const stale = await send("DELETE", old);
    const deleted = await send("DELETE", await etag());
    return [created, replaced, stale, deleted].map(({ status }) => status);
  };
  expect(await change("before")).toEqual([204, 204, 412, 204]);
  const file = join(folder, "statestore.yaml");
  const prefix = "  metadata:\n    - name: keyPrefix\n      value: daprstate\n";
  writeFileSync(file, readFileSync(file, "utf8").replace("  metadata:\n", prefix));
  await end(pair);
  await restartSidecar();
  expect(await change("after")).toEqual([204, 204, 412, 204]);
});
