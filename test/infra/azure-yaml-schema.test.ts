// Tests where findAzureYamlSchema looks for the schema. A local server replaces GitHub.
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findAzureYamlSchema } from "../support/azure-yaml-schema.ts";

describe("findAzureYamlSchema", () => {
  let folder: string;
  let server: Server;
  let requested: string[];
  let status: number;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "azure-yaml-schema-"));
    requested = [];
    status = 200;
    server = createServer((request, response) => {
      requested.push(request.url ?? "");
      response.writeHead(status).end('{"changed": true}');
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
  });
  afterEach(() => {
    server.close();
    rmSync(folder, { recursive: true });
  });

  function find(env: Record<string, string> = {}) {
    const address = server.address();
    const files = `http://127.0.0.1:${typeof address === "object" ? address?.port : ""}`;
    return findAzureYamlSchema({ env: { HOME: folder, XDG_CACHE_HOME: folder, ...env }, platform: "linux", files });
  }

  test("reads the file that AZURE_YAML_SCHEMA names, without a download", async () => {
    const file = join(folder, "schema.json");
    writeFileSync(file, '{"type": "object"}');
    expect(await find({ AZURE_YAML_SCHEMA: file })).toEqual({ type: "object" });
    expect(requested).toEqual([]);
  });

  test("rejects a download with another digest, names both, and caches nothing", async () => {
    await expect(find()).rejects.toThrow(/is not usable: its SHA-256 is \w{64}, but ff8d40d0\w{56} is pinned/);
    expect(requested).toEqual([expect.stringMatching(/^\/\w{40}\/schemas\/v1\.0\/azure\.yaml\.json$/)]);
    expect(existsSync(join(folder, "dapr-on-azure-samples"))).toBe(false);
  });

  test("reports why the download failed", async () => {
    status = 503;
    await expect(find()).rejects.toThrow(/^http:\/\/127\.0\.0\.1:\S+ returned 503$/);
  });
});
