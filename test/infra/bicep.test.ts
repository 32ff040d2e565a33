// Tests where findBicep looks for the compiler. A local server replaces GitHub.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findBicep } from "../support/bicep.ts";

const script = (version: string) => `#!/bin/sh\necho "Bicep CLI version ${version} (0000000000)"\n`;

describe("findBicep", () => {
  let folder: string;
  let server: Server;
  let requested: string[];
  let digest: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bicep-find-"));
    requested = [];
    digest = createHash("sha256").update(script("0.49.2")).digest("hex");
    server = createServer((request, response) => {
      requested.push(request.url ?? "");
      const asset = {
        name: "bicep-linux-arm64",
        digest: `sha256:${digest}`,
        browser_download_url: `${origin()}/asset`,
      };
      response.end(request.url === "/asset" ? script("0.49.2") : JSON.stringify({ assets: [asset] }));
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  function origin(): string {
    const address = server.address();
    return `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
  }
  const find = (env: Record<string, string> = {}) =>
    findBicep({
      env: { HOME: folder, PATH: join(folder, "bin"), XDG_CACHE_HOME: join(folder, "cache"), ...env },
      platform: "linux",
      arch: "arm64",
      releases: origin(),
    });
  function install(path: string, version: string): string {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, script(version));
    chmodSync(file, 0o755);
    return file;
  }

  test("returns the compiler that BICEP names, before any other", async () => {
    install("bin/bicep", "0.49.2");
    expect(await find({ BICEP: "/elsewhere/bicep" })).toBe("/elsewhere/bicep");
  });

  test("in CI, returns the compiler that BICEP names if it has the pinned version, and else fails", async () => {
    const pinned = install("pinned/bicep", "0.49.2");
    expect(await find({ BICEP: pinned, CI: "true" })).toBe(pinned);
    const other = install("other/bicep", "0.49.20");
    await expect(find({ BICEP: other, CI: "true" })).rejects.toThrow(`BICEP=${other} is not version 0.49.2.`);
  });

  test("returns the pinned version from PATH, else from the folder of az bicep install, without a download", async () => {
    const ofCli = install(".azure/bin/bicep", "0.49.2");
    expect(await find()).toBe(ofCli);
    const onPath = install("bin/bicep", "0.49.2");
    expect(await find()).toBe(onPath);
    install("bin/bicep", "0.40.0");
    expect(await find()).toBe(ofCli);
    expect(requested).toEqual([]);
  });

  test("downloads the release for the platform once, and keeps it in the cache", async () => {
    const found = await find();
    expect(found).toBe(join(folder, "cache/dapr-on-azure-samples/bicep-0.49.2-linux-arm64"));
    expect(readFileSync(found, "utf8")).toBe(script("0.49.2"));
    expect(statSync(found).mode & 0o111).toBe(0o111);
    expect(await find()).toBe(found);
    expect(requested).toEqual(["/v0.49.2", "/asset"]);
  });

  test("rejects a download whose digest differs from the published one", async () => {
    digest = "0".repeat(64);
    await expect(find()).rejects.toThrow(
      /is not usable: its digest is sha256:[0-9a-f]{64}, but sha256:0{64} is published$/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  test("rejects with the reason when the download server is unreachable", async () => {
    const unreachable = findBicep({ env: { HOME: folder, PATH: "" }, releases: "http://127.0.0.1:2" });
    await expect(unreachable).rejects.toThrow("http://127.0.0.1:2/v0.49.2: ");
  });
});
