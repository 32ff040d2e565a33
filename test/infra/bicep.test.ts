// Where the compiler comes from, with a local server in the place of GitHub.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findBicep } from "../support/bicep.ts";

const says = (version: string) => `#!/bin/sh\necho "Bicep CLI version ${version} (0000000000)"\n`;

describe("the compiler is", () => {
  let folder: string;
  let server: Server;
  let asked: string[];
  let digest: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "bicep-find-"));
    asked = [];
    digest = createHash("sha256").update(says("0.49.2")).digest("hex");
    server = createServer((request, response) => {
      asked.push(request.url ?? "");
      const asset = {
        name: "bicep-linux-arm64",
        digest: `sha256:${digest}`,
        browser_download_url: `${origin()}/asset`,
      };
      response.end(request.url === "/asset" ? says("0.49.2") : JSON.stringify({ assets: [asset] }));
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
    writeFileSync(file, says(version));
    chmodSync(file, 0o755);
    return file;
  }

  test("the one that BICEP names, before all others", async () => {
    install("bin/bicep", "0.49.2");
    expect(await find({ BICEP: "/elsewhere/bicep" })).toBe("/elsewhere/bicep");
  });

  test("the one on PATH, or the Azure CLI's, when it is the pinned version", async () => {
    const ofCli = install(".azure/bin/bicep", "0.49.2");
    expect(await find()).toBe(ofCli);
    const onPath = install("bin/bicep", "0.49.2");
    expect(await find()).toBe(onPath);
    install("bin/bicep", "0.40.0");
    expect(await find()).toBe(ofCli);
    expect(asked).toEqual([]);
  });

  test("downloaded once, as the release of this platform, and kept", async () => {
    const found = await find();
    expect(found).toBe(join(folder, "cache/dapr-on-azure-samples/bicep-0.49.2-linux-arm64"));
    expect(readFileSync(found, "utf8")).toBe(says("0.49.2"));
    expect(statSync(found).mode & 0o111).toBe(0o111);
    expect(await find()).toBe(found);
    expect(asked).toEqual(["/v0.49.2", "/asset"]);
  });

  test("not what has another digest than the published one", async () => {
    digest = "0".repeat(64);
    await expect(find()).rejects.toThrow(/published is sha256:0{64}: not used$/);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("missing with the reason, when nobody answers", async () => {
    const nobody = findBicep({ env: { HOME: folder, PATH: "" }, releases: "http://127.0.0.1:2" });
    await expect(nobody).rejects.toThrow("http://127.0.0.1:2/v0.49.2: ");
  });
});
