import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, expect, test } from "vitest";
import { spawn } from "../../../tools/processes/spawn.ts";
import { inProcess } from "../../support/in-process.ts";
import { freePorts, patience, root } from "../../support/processes.ts";

describe("the process of state-api", () => {
  test("is live but not ready without a sidecar, says why, and exits 0 on SIGTERM", async () => {
    const [unused] = await freePorts(1);
    await inProcess("state-api", { ...patience, DAPR_HTTP_PORT: `${unused}` }, async (get) => {
      expect(await (await get("/healthz")).text()).toBe("ok");
      const readiness = await get("/readyz");
      expect(readiness.status).toBe(503);
      expect(await readiness.text()).toContain("the Dapr sidecar at");
      expect(await (await get("/state/k")).text()).toContain("Error reading from statestore: the Dapr sidecar at");
      expect(await (await get("/metrics")).text()).toContain("nodejs_eventloop_lag_seconds");
    });
  });

  test("exits 0 on SIGTERM after the reader of its log has exited", async () => {
    const [port, unused] = await freePorts(2);
    const child = spawn(process.execPath, ["services/state-api/server.ts"], {
      cwd: root,
      env: { ...process.env, PORT: `${port}`, DAPR_HTTP_PORT: `${unused}`, LOG_LEVEL: "info" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    let output = "";
    child.stdout.on("data", (chunk) => (output += chunk));
    await expect.poll(() => output, { interval: 5 }).toContain("listening");
    child.stdout.destroy();
    child.kill("SIGTERM");
    try {
      await expect.poll(() => child.exitCode, { timeout: 10_000 }).toBe(0);
    } finally {
      child.kill("SIGKILL");
      await exited;
    }
  });

  test("exits 1 and says which port is in use", async () => {
    const owner = createServer().listen(0, "127.0.0.1");
    await once(owner, "listening");
    const { port } = owner.address() as AddressInfo;
    const env = { ...process.env, PORT: `${port}` };
    const { status, stdout } = spawnSync(process.execPath, ["services/state-api/server.ts"], { cwd: root, env });
    expect(status).toBe(1);
    expect(String(stdout)).toContain(`port ${port} is in use; set PORT to a free one`);
    owner.close();
  });

  test("exits 1 and lists all faults of its configuration", async () => {
    const { status, stderr } = spawnSync(process.execPath, ["services/state-api/server.ts", "--nope"], {
      cwd: root,
      encoding: "utf8",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(/'--nope'.*--statestore NAME/);
    const wrong = spawnSync(process.execPath, ["services/state-api/server.ts"], {
      cwd: root,
      encoding: "utf8",
      env: { ...process.env, PORT: "x", LOG_LEVEL: "y" },
    });
    expect(wrong.status).toBe(1);
    expect(wrong.stderr).toMatch(/PORT="x"[\s\S]*LOG_LEVEL="y"/);
  });
});
