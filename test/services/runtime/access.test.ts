// Every service on real addresses, mostly as a process: who it serves, whom it refuses, and when it does not start.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inProcess } from "../../support/in-process.ts";
import { freePorts, type Process, patience, root, startService } from "../../support/processes.ts";

const names = ["state-api", "group-lister", "welcome", "hello-wasm"] as const;
const withCallers = ["state-api", "group-lister"] as const;
const token = "a-token-of-the-sidecar";

/** Sends a request as written and returns the status and the body of the response. */
async function sendRaw(origin: string, head: string): Promise<{ status: number; text: string }> {
  const { port } = new URL(origin);
  const socket = connect(Number(port), "127.0.0.1");
  socket.end(`${head}\r\nConnection: close\r\n\r\n`);
  let response = "";
  for await (const chunk of socket) response += chunk;
  return { status: Number(response.split(" ")[1]), text: response };
}

/** The status of a GET and the last part of its problem type. */
async function get(url: string, headers: Record<string, string> = {}): Promise<[number, string | undefined]> {
  const sent = request(url, { headers, agent: false }).end();
  const [response] = await once(sent, "response");
  let body = "";
  for await (const chunk of response) body += chunk;
  return [response.statusCode, /urn:problem:([a-z-]+)/.exec(body)?.[1]];
}

/** Without a sidecar or Azure: liveness alone shows that a service runs. */
const start = (name: string, env: Record<string, string> = {}) =>
  startService(name, { DAPR_HTTP_PORT: "9", AZURE_STAND_IN: "off", LOG_LEVEL: "silent", ...env }, "/healthz");

describe.each(names)("%s on a loopback address", (name) => {
  let service: Process;
  let port: string;

  beforeAll(async () => {
    service = await start(name);
    port = new URL(service.origin).port;
  });
  afterAll(() => service.end());

  const paths = ["/", "/healthz", "/readyz", "/metrics", "/openapi.json", "/no-such-path"];

  test.each(paths)("answers 421 to GET %s with the name of another host", async (path) => {
    for (const host of [
      "evil.example",
      `evil.example:${port}`,
      "127.0.0.1.evil.example",
      "localhost.evil.example",
      "127.0.0.1@evil.example",
      "127.0.0.2",
      "[::2]",
      "0.0.0.0",
      "",
    ]) {
      const { status, text } = await sendRaw(service.origin, `GET ${path} HTTP/1.1\r\nHost: ${host}`);
      expect([host, status]).toEqual([host, 421]);
      expect(text).toContain("urn:problem:wrong-host");
    }
  });

  test("serves requests for 127.0.0.1, localhost and [::1], in any case and with any port", async () => {
    for (const host of ["127.0.0.1", "localhost", "LOCALHOST", "[::1]"]) {
      for (const suffix of ["", `:${port}`, ":1"]) {
        const { status } = await sendRaw(service.origin, `GET /healthz HTTP/1.1\r\nHost: ${host}${suffix}`);
        expect([host + suffix, status]).toEqual([host + suffix, 200]);
      }
    }
  });

  test("takes the host of an absolute request target instead of the Host header", async () => {
    const own = "Host: 127.0.0.1";
    expect((await sendRaw(service.origin, `GET http://evil.example/healthz HTTP/1.1\r\n${own}`)).status).toBe(421);
    expect((await sendRaw(service.origin, `GET http://localhost/healthz HTTP/1.1\r\n${own}`)).status).toBe(200);
    expect((await sendRaw(service.origin, `OPTIONS * HTTP/1.1\r\nHost: evil.example`)).status).toBe(421);
  });

  test("checks the host of a request with an unknown expectation, and serves it", async () => {
    const statusFor = async (host: string) =>
      (await sendRaw(service.origin, `GET /healthz HTTP/1.1\r\nHost: ${host}\r\nExpect: the-unexpected`)).status;
    expect(await statusFor("evil.example")).toBe(421);
    expect(await statusFor("localhost")).toBe(200);
  });

  test("refuses a request without a Host header", async () => {
    expect((await sendRaw(service.origin, "GET /healthz HTTP/1.0\r\nAccept: */*")).status).toBe(421);
    expect((await sendRaw(service.origin, "GET /healthz HTTP/1.1\r\nAccept: */*")).status).toBe(400);
  });
});

describe("ALLOWED_HOSTS", () => {
  test.each(names)("makes %s serve these hosts and no others, on any address", async (name) => {
    const service = await start(name, {
      HOST: "0.0.0.0",
      DIRECT_CALLS: "anywhere",
      ALLOWED_HOSTS: "127.0.0.1,[::1],a.example",
    });
    const ask = async (host: string) =>
      (await sendRaw(service.origin, `GET /healthz HTTP/1.1\r\nHost: ${host}`)).status;
    try {
      for (const host of ["127.0.0.1", "[::1]:8080", "a.example", "A.EXAMPLE:1"]) {
        expect([host, await ask(host)]).toEqual([host, 200]);
      }
      for (const host of ["localhost", "axexample", "b.a.example", "a.example.evil.example", "127.0.0.1,a.example"]) {
        expect([host, await ask(host)]).toEqual([host, 421]);
      }
    } finally {
      await service.end();
    }
  });
});

describe.each(withCallers)("%s with APP_API_TOKEN", (name) => {
  const path = name === "state-api" ? "/state/greeting" : "/groupz";
  const served = [503, expect.stringMatching(/^(store-unavailable|no-credential)$/)]; // past the checks
  const sidecar = { "dapr-api-token": token, "dapr-caller-app-id": "welcome" };

  /** Runs the service for the time of `use`. */
  const withService = (env: Record<string, string>, use: (origin: string) => Promise<void>) =>
    inProcess(
      name,
      {
        ...patience,
        DAPR_HTTP_PORT: "9",
        AZURE_STAND_IN: "off",
        AZURE_TOKEN_CREDENTIALS: "EnvironmentCredential",
        APP_API_TOKEN: token,
        ...env,
      },
      (_get, origin) => use(origin),
    );

  const refusesForgeries = async (origin: string) => {
    const url = origin + path;
    for (const wrong of ["", "x", `${token}x`, token.toUpperCase(), `${token},${token}`]) {
      expect([wrong, ...(await get(url, { ...sidecar, "dapr-api-token": wrong }))]).toEqual([
        wrong,
        401,
        "wrong-token",
      ]);
    }
    for (const caller of ["third-app", "", "Welcome", "welcome,third-app", "welcome, third-app"]) {
      const refusal = await get(url, { ...sidecar, "dapr-caller-app-id": caller });
      expect([caller, ...refusal]).toEqual([caller, 403, "caller-not-allowed"]);
    }
    expect(await get(url, { "dapr-api-token": token })).toEqual([403, "caller-not-allowed"]);
  };

  test("on 0.0.0.0 serves its own sidecar and probes; without, or with a wrong, token it answers 401", () =>
    withService({ HOST: "0.0.0.0" }, async (origin) => {
      expect(await get(origin + path)).toEqual([401, "no-token"]);
      expect(await get(origin + path, { "dapr-caller-app-id": "welcome" })).toEqual([401, "no-token"]);
      expect(await get(`${origin}/metrics`)).toEqual([401, "no-token"]);
      expect(await get(`${origin}/HEALTHZ`)).toEqual([401, "no-token"]);
      expect(await get(`${origin}/healthz`)).toEqual([200, undefined]);
      expect((await get(`${origin}/readyz`))[0]).toBe(503);
      expect((await get(`${origin}/readyz`))[1]).not.toBe("no-token");
      await refusesForgeries(origin);
      expect(await get(origin + path, sidecar)).toEqual(served);
    }));

  test.each([
    ["127.0.0.1", "loopback"],
    ["0.0.0.0", "anywhere"],
  ])("on %s with DIRECT_CALLS=%s serves calls without a token, and refuses a wrong one", (host, directCalls) =>
    withService({ HOST: host, DIRECT_CALLS: directCalls }, async (origin) => {
      expect(await get(origin + path)).toEqual(served);
      await refusesForgeries(origin);
      expect(await get(origin + path, sidecar)).toEqual(served);
    }),
  );

  test("serves the callers in ALLOWED_CALLERS and no others", () =>
    withService({ ALLOWED_CALLERS: "orders,reports" }, async (origin) => {
      const call = (caller: string) => get(origin + path, { "dapr-api-token": token, "dapr-caller-app-id": caller });
      expect(await call("reports")).toEqual(served);
      expect(await call("welcome")).toEqual([403, "caller-not-allowed"]);
    }));
});

describe("the start of a service on an address that other machines reach", () => {
  const startOn = async (name: string, env: Record<string, string>) => {
    const [port] = await freePorts(1);
    const base = { ...process.env, LOG_LEVEL: "silent", PORT: `${port}` };
    return spawnSync(process.execPath, [`services/${name}/server.ts`], {
      cwd: root,
      encoding: "utf8",
      env: { ...base, ...env },
      timeout: 10_000,
    });
  };

  test.each([
    ["state-api", "APP_API_TOKEN to the token of the service's sidecar"],
    ["group-lister", "APP_API_TOKEN to the token of the service's sidecar"],
    ["welcome", "SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID so that callers sign in"],
  ])("fails for %s when nothing checks its callers, and names the remedies", async (name, remedy) => {
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "127.0.0.1.evil.example"]) {
      const { status, stderr } = await startOn(name, { HOST: host });
      expect(status).toBe(1);
      expect(stderr).toBe(
        `HOST="${host}" is not a loopback address, and nothing checks who calls the service.\n` +
          `  Set ${remedy}; or set HOST=127.0.0.1;\n` +
          "  or set DIRECT_CALLS=anywhere if the network around the service decides who may call it.\n",
      );
    }
  });

  test.each(["state-api", "group-lister", "welcome"])("succeeds for %s with DIRECT_CALLS=anywhere", async (name) => {
    const service = await start(name, { HOST: "0.0.0.0", DIRECT_CALLS: "anywhere" });
    const { status } = await sendRaw(service.origin, "GET /healthz HTTP/1.1\r\nHost: any.example");
    expect(status).toBe(200);
    await service.end();
  });

  test.each([
    ["state-api", "APP_API_TOKEN"],
    ["group-lister", "APP_API_TOKEN"],
    ["state-api", "DAPR_API_TOKEN"],
    ["welcome", "DAPR_API_TOKEN"],
  ])("fails for %s when %s has a line break, a space or an umlaut, and hides the value", async (name, variable) => {
    for (const value of ["hush\n", " hush", "hush\u00fc"]) {
      const { status, stderr } = await startOn(name, { [variable]: value });
      expect(status).toBe(1);
      expect(stderr).toContain(`${variable}=(hidden) must have only visible ASCII characters: no space, no line break`);
      expect(stderr).not.toContain("hush");
    }
  });

  test.each([
    ["ALLOWED_CALLERS", "welcome, third app"],
    ["ALLOWED_HOSTS", "localhost:8080"],
  ])("fails for %s=%s", async (name, value) => {
    const { status, stderr } = await startOn("state-api", { [name]: value });
    expect(status).toBe(1);
    expect(stderr).toContain(`${name}="${value}" must match pattern`);
  });
});
