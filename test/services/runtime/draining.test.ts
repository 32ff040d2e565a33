import { once } from "node:events";
import { connect } from "node:net";
import { describe, expect, test } from "vitest";
import { inProcess } from "../../support/in-process.ts";
import { freePorts } from "../../support/processes.ts";

const [unused] = await freePorts(1);

describe("GET /readyz while the service drains", () => {
  test.each([
    ["welcome", { DAPR_HTTP_PORT: `${unused}` }],
    ["state-api", { DAPR_HTTP_PORT: `${unused}` }],
    ["group-lister", { AZURE_STAND_IN: "off", AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential" }],
    ["hello-wasm", {}],
  ])("gets 503 from %s on a connection that was kept alive, whose request began before SIGTERM", async (name, env) => {
    await inProcess(name, env, async (get, origin) => {
      const socket = connect(Number(new URL(origin).port), "127.0.0.1");
      const received = () => once(socket, "data").then(([chunk]) => String(chunk));
      socket.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
      const first = await received();
      expect(first).toMatch(/^HTTP\/1\.1 200 /);
      expect(first).toMatch(/^Connection: keep-alive\r$/m);
      const answer = received();
      socket.write("GET /readyz HTTP/1.1\r\nHost: localhost\r\n");
      await get("/healthz"); // the service has read the beginning of the request before this one
      process.emit("SIGTERM");
      await expect
        .poll(() =>
          get("/healthz").then(
            () => "open",
            () => "closed",
          ),
        )
        .toBe("closed");
      socket.write("\r\n");
      expect(await answer).toMatch(/^HTTP\/1\.1 503 [\s\S]*"title":"the service is shutting down"/);
      socket.destroy();
    });
  });
});
