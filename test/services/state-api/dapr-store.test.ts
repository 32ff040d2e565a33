import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { DaprStore } from "../../../services/state-api/dapr-store.ts";
import { connectStore } from "../../support/dapr-store.ts";
import { freeze } from "../../support/freeze.ts";
import { createCall } from "../../support/memory-store.ts";
import { freePorts, type Process, sqliteResources, startSidecar } from "../../support/processes.ts";
import { measure } from "../../support/stopwatch.ts";

const call = createCall();

/** One call of each kind. */
const asks = (store: DaprStore) => ({
  get: () => store.get("k", call),
  getMany: () => store.getMany(["k", "l"], call),
  save: () => store.save({ key: "k", value: 1 }, call),
  "save with a condition": () => store.save({ key: "k", value: 1, condition: { ifNoneMatch: "*" } }, call),
  saveMany: () => store.saveMany([{ key: "k", value: 1 }], call),
  delete: () => store.delete({ key: "k" }, call),
  transaction: () => store.transaction([{ operation: "upsert", key: "k", data: 1 }], call),
  ready: () => store.ready(),
});

async function timed(work: Promise<unknown>): Promise<{ error: unknown; milliseconds: number }> {
  const failure = work.then(
    () => undefined,
    (reason) => reason,
  );
  const milliseconds = await measure(() => failure);
  return { error: await failure, milliseconds };
}

describe("faults of the sidecar", () => {
  test("every call fails within 2 s and says how to start a sidecar when none is running", async () => {
    const [port] = await freePorts(1);
    for (const [name, ask] of Object.entries(asks(connectStore(`http://127.0.0.1:${port}`)))) {
      const { error, milliseconds } = await timed(ask());
      expect(error, name).toMatchObject({ kind: "unavailable", message: expect.stringContaining("npm start") });
      expect(milliseconds, name).toBeLessThan(2_000);
    }
  });

  test("every call fails within 2.5 s when the sidecar is frozen", async () => {
    const local = sqliteResources("shipped");
    const sidecar = await startSidecar({ resources: [local.folder] });
    const store = connectStore(sidecar.origin, { requestTimeoutMs: 1_900, cosmosDbWriteTimeoutMs: 500 });
    await store.ready();
    await freeze(sidecar.pid);
    const outcomes = await Promise.all(Object.values(asks(store)).map((ask) => timed(ask())));
    process.kill(sidecar.pid, "SIGCONT");
    for (const { error, milliseconds } of outcomes) {
      expect(error).toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/no response from .* within/),
      });
      expect(milliseconds).toBeLessThan(2_500); // 2 s, and a margin for a busy machine
    }
    await sidecar.end();
    local.remove();
  });

  test("every call names the missing component and STATESTORE_NAME when the sidecar has no such store", async () => {
    const local = sqliteResources("shipped");
    const sidecar = await startSidecar({ resources: [local.folder] });
    const { ready: _, ...calls } = asks(connectStore(sidecar.origin, { storeName: "other" }));
    for (const [name, ask] of Object.entries(calls)) {
      const { error } = await timed(ask());
      expect(error, name).toMatchObject({
        kind: "unavailable",
        message: expect.stringMatching(/"other".*STATESTORE_NAME/),
      });
    }
    await sidecar.end();
    local.remove();
  });

  test("the next call succeeds after the sidecar has restarted", async () => {
    const local = sqliteResources();
    let sidecar = await startSidecar({ resources: [local.folder] });
    const store = connectStore(sidecar.origin);
    await store.save({ key: "k", value: "kept" }, call);
    await sidecar.end();
    await expect(store.get("k", call)).rejects.toMatchObject({ kind: "unavailable" });
    sidecar = await sidecar.restart();
    expect(await store.get("k", call)).toMatchObject({ value: "kept" });
    await sidecar.end();
    local.remove();
  });
});

describe("keys that aim at other APIs of the sidecar", () => {
  const folder = mkdtempSync(join(tmpdir(), "state-api-secrets-"));
  let open: Process; // without the suite's Configuration, so its secrets API is open
  let closed: Process;
  beforeAll(async () => {
    writeFileSync(join(folder, "secrets.json"), JSON.stringify({ name: "the-secret" }));
    writeFileSync(
      join(folder, "resources.yaml"),
      `apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: statestore }
spec: { type: state.in-memory, version: v1 }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: vault }
spec:
  type: secretstores.local.file
  version: v1
  metadata: [{ name: secretsFile, value: ${join(folder, "secrets.json")} }]
`,
    );
    [open, closed] = await Promise.all([
      startSidecar({ resources: [folder] }),
      startSidecar({ resources: [folder], config: "components/local/config.yaml" }),
    ]);
  });
  afterAll(async () => {
    await Promise.all([open.end(), closed.end()]);
    rmSync(folder, { recursive: true, force: true });
  });

  // The HTTP routes reject such keys. These are the second and the third line of defence.
  test("keys are encoded, so that a sidecar with all APIs open stores them as keys", async () => {
    expect(await (await fetch(`${open.origin}/v1.0/secrets/vault/name`)).json()).toEqual({ name: "the-secret" });
    const store = connectStore(open.origin);
    for (const key of ["../../secrets/vault/name", "..%2f..%2fsecrets/vault/name", "x?y", "a#b", "a+b", "a%2Bb", "ü"]) {
      expect(await store.get(key, call), key).toBeUndefined();
      await store.save({ key, value: key }, call);
      expect(await store.get(key, call), key).toMatchObject({ value: key });
      await store.delete({ key }, call);
      expect(await store.get(key, call), key).toBeUndefined();
    }
  });

  test("the Configuration closes the secrets, publish and shutdown APIs with 404, and leaves the state API open", async () => {
    expect((await fetch(`${closed.origin}/v1.0/secrets/vault/name`)).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/secrets/vault/bulk`)).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/publish/pubsub/topic`, { method: "POST" })).status).toBe(404);
    expect((await fetch(`${closed.origin}/v1.0/shutdown`, { method: "POST" })).status).toBe(404);
    expect(await connectStore(closed.origin).get("k", call)).toBeUndefined();
  });
});
