// The bundle of welcome, as its image has it: without node_modules.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sampleApplication, sampleTenantId } from "../../stand-ins/azure/sample.ts";
import { freePorts, root, run } from "../support/processes.ts";

test("the bundle of welcome serves msal-browser with its licence, and checks tokens", async () => {
  const folder = mkdtempSync(join(tmpdir(), "bundle-test-"));
  const [port = 0, unused = 0] = await freePorts(2);
  execFileSync(process.execPath, ["tools/bundle/bundle.ts", "welcome", folder], { cwd: root });
  const welcome = run(process.execPath, [join(folder, "main.mjs")], {
    PORT: `${port}`,
    DAPR_HTTP_PORT: `${unused}`,
    SIGN_IN_CLIENT_ID: sampleApplication.clientId,
    SIGN_IN_TENANT_ID: sampleTenantId,
    SIGN_IN_AUTHORITY: `https://127.0.0.1:${unused}`,
  });
  const get = (path: string, headers = {}) => fetch(`http://127.0.0.1:${port}${path}`, { headers });
  try {
    await expect.poll(() => get("/healthz").then(({ status }) => status, String), { timeout: 10_000 }).toBe(200);
    const script = await (await get("/msal-browser.js")).text();
    const [license, library] = ["LICENSE", "lib/msal-browser.min.js"].map((name) =>
      readFileSync(join(root, "node_modules/@azure/msal-browser", name), "utf8"),
    );
    expect(script).toBe(`/*\n${license}*/\n${library}`);
    expect(license).toContain("MIT License");
    expect((await get("/api/groups", { Authorization: "Bearer a.b.c" })).status).toBe(401);
  } finally {
    await welcome.end();
    rmSync(folder, { recursive: true });
  }
});
