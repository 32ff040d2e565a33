import { once } from "node:events";
import { request } from "node:http";
import { createServer } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { inProcess } from "../../support/in-process.ts";
import { freePorts, run } from "../../support/processes.ts";

const metricsStatus = async (port: number, host: string) => {
  const sent = request({ port, host: "127.0.0.1", path: "/metrics", headers: { Host: host } }).end();
  const [response] = await once(sent, "response");
  response.resume();
  return response.statusCode;
};

describe("METRICS_PORT", () => {
  test("serves the metrics on a port of their own, which has nothing else, until the service ends", async () => {
    const [port = 0] = await freePorts(1);
    await inProcess("welcome", { METRICS_PORT: `${port}` }, async (get) => {
      expect((await get("/metrics")).status).toBe(404);
      expect(await (await get("/openapi.json")).text()).not.toContain("/metrics");
      const metrics = await fetch(`http://127.0.0.1:${port}/metrics`);
      expect(metrics.headers.get("content-type")).toMatch(/^text\/plain; version=/);
      expect(await metrics.text()).toContain(
        'http_request_duration_seconds_count{method="GET",route="(none)",status="404"} 1',
      );
      for (const path of ["/", "/healthz", "/openapi.json", "/api/version"]) {
        const other = await fetch(`http://127.0.0.1:${port}${path}`);
        expect({ path, status: other.status }).toEqual({ path, status: 404 });
      }
    });
    await expect(fetch(`http://127.0.0.1:${port}/metrics`)).rejects.toThrow();
  });

  test("on loopback, the port of the metrics returns 421 for the name of a web page", async () => {
    const [port = 0] = await freePorts(1);
    await inProcess("welcome", { METRICS_PORT: `${port}` }, async () => {
      expect(await metricsStatus(port, "evil.example")).toBe(421);
      expect(await metricsStatus(port, `127.0.0.1:${port}`)).toBe(200);
    });
  });

  test("without it, PORT serves the metrics", () =>
    inProcess("welcome", {}, async (get) => {
      expect((await get("/metrics")).status).toBe(200);
    }));

  test("the process exits with 1 and names METRICS_PORT when that port is in use", async () => {
    const [port = 0, metricsPort = 0] = await freePorts(2);
    const owner = createServer().listen(metricsPort, "127.0.0.1");
    await once(owner, "listening");
    onTestFinished(() => void owner.close());
    const env = { PORT: `${port}`, METRICS_PORT: `${metricsPort}` };
    const { ended, output } = run(process.execPath, ["services/welcome/server.ts"], env);
    expect((await ended).code).toBe(1);
    expect(output()).toContain(`port ${metricsPort} is in use; set METRICS_PORT to a free one`);
  });
});
