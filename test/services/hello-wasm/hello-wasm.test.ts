// Tests the WebAssembly module in two runtimes, and the host that runs it once per HTTP request.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import { Registry } from "prom-client";
import request from "supertest";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { createApp } from "../../../services/hello-wasm/app.ts";
import { createRunner, type Runner } from "../../../services/hello-wasm/runner.ts";
import { parseCgiResponse } from "../../../services/hello-wasm/wagi.ts";
import { inProcess } from "../../support/in-process.ts";
import { type Process, root, startService } from "../../support/processes.ts";
import { runInWasmtime } from "../../support/wasmtime.ts";

const file = join(root, "services/hello-wasm/hello.wasm");
const folder = mkdtempSync(join(tmpdir(), "hello-wasm-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Compiles AssemblyScript to a module with the compiler options of hello.wasm that matter to the host. */
function build(source: string, name = "module"): WebAssembly.Module {
  const [from, to] = [join(folder, `${name}.ts`), join(folder, `${name}.wasm`)];
  writeFileSync(from, source);
  const options = ["--runtime", "stub", "--use", "abort=", "--outFile", to];
  execFileSync(join(root, "node_modules/.bin/asc"), [from, ...options]);
  return new WebAssembly.Module(readFileSync(to));
}

let runner: Runner | undefined;
afterEach(() => runner?.close());

function serve(
  module = new WebAssembly.Module(readFileSync(file)),
  { threads = 2, timeoutMs = 5_000, maxWaiting = 10 } = {},
) {
  runner = createRunner({ module, threads, timeoutMs, maxWaiting });
  const log = pino({ level: "silent" });
  return request(
    createApp({
      runner,
      config: { HOST: "0.0.0.0", METRICS_PORT: 0 },
      log,
      register: new Registry(),
      ready: async () => {},
    }),
  );
}

describe("hello.wasm", () => {
  const environments: Record<string, string>[] = [
    { test: "hello" },
    { EMPTY: "", EQUALS: "a=b=c", LINES: "a\nb", UNICODE: "Grüße, мир", LONG: "x".repeat(100_000) },
    Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`KEY_${index}`, `${index}`])),
    {},
  ];
  const expected = (env: Record<string, string>) =>
    [
      "Content-Type: text/plain",
      "",
      "Hello, world!",
      ...Object.entries(env).map(([key, value]) => `${key}: ${value}`),
      "",
    ].join("\n");

  test.each(environments)("prints the greeting and environment %# in Node's runtime and in Wasmtime", async (env) => {
    runner = createRunner({
      module: new WebAssembly.Module(readFileSync(file)),
      threads: 1,
      timeoutMs: 20_000,
      maxWaiting: 1,
    });
    expect(String(await runner.run(env))).toBe(expected(env));
    expect(await runInWasmtime(file, env)).toBe(expected(env));
  });

  test("equals the output of `npm run build:wasm` byte for byte, and has at most 20 kB", () => {
    const config = join(root, "services/hello-wasm/module/asconfig.json");
    const built = join(folder, "built.wasm");
    const args = [join(root, "services/hello-wasm/module/hello.ts"), "--config", config, "--outFile", built];
    const { status, stderr } = spawnSync(join(root, "node_modules/.bin/asc"), args, { encoding: "utf8" });
    expect(status, stderr).toBe(0);
    expect(readFileSync(built).equals(readFileSync(file)), "run `npm run build:wasm` and commit hello.wasm").toBe(true);
    expect(statSync(file).size).toBeLessThanOrEqual(20_000);
  });
});

describe("GET /", () => {
  test("passes the request to the module as CGI and WAGI variables", async () => {
    const response = await serve()
      .get("/?a=b&c=%20d")
      .set("X-Custom-Header", "value")
      .set("Host", "example.com:80")
      .expect(200);
    expect(response.headers["content-type"]).toBe("text/plain");
    const [greeting, ...lines] = response.text.trimEnd().split("\n");
    expect(greeting).toBe("Hello, world!");
    const seen = Object.fromEntries(lines.map((line) => line.split(": ", 2)));
    expect(seen).toMatchObject({
      GATEWAY_INTERFACE: "CGI/1.1",
      QUERY_STRING: "a=b&c=%20d",
      REMOTE_ADDR: expect.stringMatching(/127\.0\.0\.1$/),
      REQUEST_METHOD: "GET",
      SCRIPT_NAME: "/",
      SERVER_NAME: "example.com",
      SERVER_PORT: expect.stringMatching(/^\d+$/),
      SERVER_PROTOCOL: "HTTP/1.1",
      SERVER_SOFTWARE: "WAGI/1",
      X_FULL_URL: "http://example.com:80/?a=b&c=%20d",
      X_MATCHED_ROUTE: "/",
      HTTP_HOST: "example.com:80",
      HTTP_X_CUSTOM_HEADER: "value",
    });
  });

  test("hides the environment of the host from the module", async () => {
    process.env.HOST_SECRET = "of the host";
    expect((await serve().get("/")).text).not.toContain("of the host");
    delete process.env.HOST_SECRET;
  });

  test("lets no header or query value become a response header", async () => {
    const api = serve();
    const usual = Object.keys((await api.get("/")).headers).sort();
    for (const value of ["%0d%0aSet-Cookie: a=b", "%0a%0a<script>", "Content-Type: text/html", "Status: 500"]) {
      const response = await api
        .get(`/?${encodeURI(value)}`)
        .set("X-Value", value)
        .set("Content-Type", value)
        .expect(200);
      expect(Object.keys(response.headers).sort()).toEqual(usual);
      expect(response.headers["content-type"]).toBe("text/plain");
      expect(response.headers["x-content-type-options"]).toBe("nosniff");
    }
  });

  test("returns 400 for a request with control characters, and injects no header", async () => {
    const service = await startService("hello-wasm", {});
    const port = Number(new URL(service.origin).port);
    const head = await new Promise<string>((resolve) => {
      let response = "";
      const socket = connect(port, "127.0.0.1", () => {
        socket.end(
          "GET /?a\x0bb=\xff HTTP/1.1\r\nHost: localhost\r\nX-A: \xe4\x0b\nInjected: 1\r\nConnection: close\r\n\r\n",
          "latin1",
        );
      });
      socket.on("data", (chunk) => (response += chunk)).on("close", () => resolve(response.split("\r\n\r\n")[0] ?? ""));
    });
    expect(head).toMatch(/^HTTP\/1\.1 400/); // from Node's parser
    expect(head).not.toMatch(/^Injected/m);
    expect(await service.end()).toBe(0);
  });

  test("withholds credentials, Proxy, and headers with an underscore from the module", async () => {
    const { text } = await serve()
      .get("/")
      .set({ Authorization: "Bearer x", "Proxy-Authorization": "y", Proxy: "http://evil", X_Forwarded_For: "spoofed" });
    expect(text).not.toMatch(/HTTP_(PROXY|AUTHORIZATION|PROXY_AUTHORIZATION|X_FORWARDED_FOR)/);
  });

  test("returns 405 for other methods and 404 for other paths, as problem details", async () => {
    const api = serve();
    await api
      .post("/")
      .expect(405)
      .expect("Allow", "GET, HEAD")
      .expect("Content-Type", /problem\+json/);
    await api
      .get("/other")
      .expect(404)
      .expect("Content-Type", /problem\+json/);
  });
});

describe("limits of the host", () => {
  const print = `@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, pieces: usize, count: i32, written: usize): i32;
function print(fd: i32, text: string): i32 {
  const bytes = String.UTF8.encode(text);
  const piece = changetype<usize>(new ArrayBuffer(12));
  store<u32>(piece, changetype<usize>(bytes));
  store<u32>(piece, bytes.byteLength, 4);
  return fd_write(fd, piece, 1, piece + 8);
}
`;
  const failing = {
    traps: "unreachable();",
    "exhausts its memory": "for (;;) if (memory.grow(16) < 0) unreachable();",
    "prints no header": 'print(1, "Hello\\n\\nworld");',
    "prints nothing": "",
    "prints without end":
      'while (print(1, "Content-Type: text/plain\\n\\n" + "x".repeat(10000)) == 0) {}; unreachable();',
  };

  test.each(Object.entries(failing))("returns 502 each time when the module %s", async (_, body) => {
    const api = serve(build(`${print}export function _start(): void { ${body} }`));
    for (const _ of [1, 2, 3]) {
      const response = await api
        .get("/")
        .expect(502)
        .expect("Content-Type", /problem\+json/);
      expect(response.body).toMatchObject({
        type: "urn:problem:module-failed",
        detail: expect.stringContaining("log"),
      });
    }
  });

  test("does not let a module grow its memory by 300 pages, beyond 16 MiB", async () => {
    const api = serve(
      build(
        `${print}memory.grow(1); export function _start(): void { if (memory.grow(300) < 0) print(1, "Content-Type: text/plain\\n\\nno"); }`,
      ),
    );
    expect((await api.get("/").expect(200)).text).toBe("no");
  });

  test("returns 504 when the module loops, and replaces the only thread", async () => {
    const source = `${print}@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(count: usize, size: usize): i32;
export function _start(): void {
  const sizes = changetype<usize>(new ArrayBuffer(8));
  environ_sizes_get(sizes, sizes + 4);
  if (load<u32>(sizes, 4) > 1000) for (;;) {}
  print(1, "Content-Type: text/plain\\n\\nfine");
}`;
    const api = serve(build(source), { threads: 1, timeoutMs: 2_000 });
    const long = `/?${"x".repeat(1_000)}`;
    const response = await api.get(long).expect(504);
    expect(response.body).toMatchObject({ type: "urn:problem:module-timeout" });
    expect((await api.get("/").expect(200)).text).toBe("fine");
    expect(runner?.running()).toBe(0);
  });

  test("returns 503 with Retry-After when too many requests are waiting", async () => {
    const api = serve(undefined, { threads: 1, maxWaiting: 2 });
    const responses = await Promise.all(Array.from({ length: 50 }, () => api.get("/")));
    const refused = responses.filter(({ status }) => status === 503);
    expect(refused.length).toBeGreaterThan(0);
    for (const { headers } of refused) expect(headers["retry-after"]).toBe("1");
    expect(responses.filter(({ status }) => status === 200).length).toBe(50 - refused.length);
  });
});

test("parseCgiResponse ends the headers at the first empty line and reads only the Content-Type", () => {
  const { type, body } = parseCgiResponse(Buffer.from("X: y\r\ncontent-type: a/b\r\n\r\nContent-Type: c/d\n\nrest"));
  expect(type).toBe("a/b");
  expect(body.toString()).toBe("Content-Type: c/d\n\nrest");
  expect(() => parseCgiResponse(Buffer.from("Content-Type: a/b\n"))).toThrow("no empty line");
  expect(() => parseCgiResponse(Buffer.from("\n\nContent-Type: a/b"))).toThrow("no Content-Type");
});

describe("the hello-wasm process", () => {
  test.skipIf(process.platform !== "linux")(
    "frees the instances of 11,000 requests, sent 1,000 at a time, and prints no warning",
    async () => {
      const service: Process = await startService("hello-wasm", { NODE_OPTIONS: "--disable-wasm-trap-handler" });
      const ask = async () => {
        const response = await fetch(service.origin);
        return (await response.text()).startsWith("Hello, world!");
      };
      const status = () => readFileSync(`/proc/${service.pid}/status`, "utf8");
      const sizeMiB = () => Number(/VmSize:\s+(\d+)/.exec(status())?.[1]) / 1024;
      expect(await Promise.all(Array.from({ length: 1_000 }, ask))).not.toContain(false);
      const before = sizeMiB();
      const rounds = 10;
      for (let round = 0; round < rounds; round++) await Promise.all(Array.from({ length: 1_000 }, ask));
      expect(await (await fetch(`${service.origin}/metrics`)).text()).toMatch(/^wasm_instances 0$/m);
      // Each instance reserves 1 MiB of addresses. The bound leaves room for instances that are not collected yet.
      expect(sizeMiB() - before).toBeLessThan((rounds * 1_000) / 2);
      expect(service.output()).not.toMatch(/warning/i);
      expect(await service.end()).toBe(0);
    },
  );

  test("becomes ready, serves requests, and exits with 0 on SIGTERM", async () => {
    await inProcess("hello-wasm", {}, async (get) => {
      expect((await get("/readyz")).status).toBe(200);
      expect(await (await get("/?a=b")).text()).toContain("QUERY_STRING: a=b");
    });
  });
});
