// hello-wasm as an OCI artifact: pushed to a real registry and pulled again with the commands of docs/operate/wasm.md.
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { buildTimeout } from "../support/go-tools.ts";
import { root } from "../support/processes.ts";
import { type Registry, startRegistry } from "../support/registry.ts";

let registry: Registry;
const folder = mkdtempSync(join(tmpdir(), "artifact-test-"));
beforeAll(async () => {
  registry = await startRegistry();
}, buildTimeout);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await registry?.end();
});

describe("hello.wasm as an OCI artifact", () => {
  const service = join(root, "services/hello-wasm");

  test("oras pushes it to a registry and pulls it again byte by byte", async () => {
    const name = `${registry.host}/hello-wasm:1.0.0`;
    await registry.oras(service, "push", name, "hello.wasm:application/wasm");
    const manifest = JSON.parse(await registry.oras(service, "manifest", "fetch", name));
    expect(manifest.layers).toMatchObject([{ mediaType: "application/wasm" }]);
    mkdirSync(join(folder, "pulled"));
    await registry.oras(join(folder, "pulled"), "pull", name);
    expect(readFileSync(join(folder, "pulled/hello.wasm")).equals(readFileSync(join(service, "hello.wasm")))).toBe(
      true,
    );
  });
});
