// hello-wasm as an OCI artifact: the commands of docs/operate/wasm.md push it to a real registry with the real oras,
// and pull it again.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { textAt } from "../support/at.ts";
import { buildTimeout } from "../support/go-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";
import { type Registry, startRegistry } from "../support/registry.ts";

let registry: Registry;
/** A copy, because the commands create files. */
const folder = mkdtempSync(join(tmpdir(), "artifact-test-"));
const service = join(folder, "services/hello-wasm");
/** Where the shell of a reader is: a block continues in the folder in which the previous one ended. */
let directory = folder;

beforeAll(async () => {
  registry = await startRegistry();
  mkdirSync(join(folder, "services"));
  cpSync(join(root, "services/hello-wasm"), service, { recursive: true });
}, buildTimeout);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await registry?.end();
});

/** Runs the only block of the page with this oras command. */
async function runBlock(command: string): Promise<void> {
  const blocks = readBlocks("docs/operate/wasm.md").filter((block) => block.command.includes(`oras ${command} `));
  expect(blocks).toHaveLength(1);
  const script = blocks[0]?.command.replaceAll("REGISTRY.azurecr.io", registry.host);
  const { path, env } = registry.client;
  // The function adds the flag for plain HTTP.
  const { stdout } = await promisify(execFile)(
    "bash",
    ["-euc", `oras() { "${path}" "$@" --plain-http; }\n${script}\npwd`],
    { cwd: directory, env },
  );
  directory = stdout.trim().split("\n").at(-1) ?? "";
}

describe("hello.wasm as an OCI artifact", () => {
  test("is pushed in the layout of the CNCF: a configuration with the digest of the module, and the module", async () => {
    await runBlock("push");
    const module = readFileSync(join(service, "hello.wasm"));
    const digest = `sha256:${createHash("sha256").update(module).digest("hex")}`;
    const fetchJson = async (path: string) =>
      (
        await fetch(`http://${registry.host}/v2/hello-wasm-module/${path}`, {
          headers: { Accept: "application/vnd.oci.image.manifest.v1+json" },
        })
      ).json();
    const manifest = await fetchJson("manifests/1.0.0");
    expect(manifest).toMatchObject({
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.wasm.config.v0+json" },
      layers: [{ mediaType: "application/wasm", digest, size: module.length }],
    });
    expect(await fetchJson(`blobs/${textAt(manifest, "config.digest")}`)).toEqual({
      created: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      architecture: "wasm",
      os: "wasip1",
      layerDigests: [digest],
    });
  });

  test("is pulled byte by byte, and the commands leave no file", async () => {
    await runBlock("pull");
    for (const file of ["pulled", "services/hello-wasm/config.json"])
      expect(existsSync(join(folder, file))).toBe(false);
  });

  test("is compared by the page's commands: another module fails", async () => {
    rmSync(join(service, "hello.wasm"));
    cpSync(join(root, "package.json"), join(service, "hello.wasm"));
    await expect(runBlock("pull")).rejects.toMatchObject({ stdout: expect.stringContaining("differ") });
  });
});
