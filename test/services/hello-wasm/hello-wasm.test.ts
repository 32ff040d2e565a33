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
import { loadModule } from "../../../services/hello-wasm/load-module.ts";
import { createRunner, type Runner } from "../../../services/hello-wasm/runner.ts";
import { parseCgiResponse } from "../../../services/hello-wasm/wagi.ts";
import { inProcess } from "../../support/in-process.ts";
import { type Process, patience, root, startService } from "../../support/processes.ts";
import { assemble } from "../../support/wasm.ts";
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
  return loadModule(readFileSync(to), name);
}

let runner: Runner | undefined;
afterEach(() => runner?.close());

function serve(
  module = loadModule(readFileSync(file), "hello.wasm"),
  { threads = 2, timeoutMs = 5_000, maxWaiting = 10 } = {},
) {
  runner = createRunner({ module, threads, timeoutMs, maxWaiting });
  const log = pino({ level: "silent" });
  return request(
    createApp({
      runner,
      config: { HOST: "0.0.0.0", ALLOWED_HOSTS: "", METRICS_PORT: 0 },
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
      module: loadModule(readFileSync(file), "hello.wasm"),
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
      .set("User-Agent", "test")
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
      HTTP_USER_AGENT: "test",
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
        .set("User-Agent", value)
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

  test("passes nine headers to the module, and no other one", async () => {
    const passed = {
      Accept: "text/plain",
      "Accept-Encoding": "gzip",
      "Accept-Language": "en",
      "Cache-Control": "no-cache",
      Host: "localhost:8083",
      traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "User-Agent": "test",
      "X-Forwarded-Host": "example.com",
      "X-Forwarded-Proto": "https",
    };
    const others = [
      "Authorization",
      "Baggage",
      "Cookie",
      "DPoP",
      "Ocp-Apim-Subscription-Key",
      "Origin",
      "Proxy",
      "Proxy-Authorization",
      "Referer",
      "Remote-User",
      "X-Amzn-Oidc-Data",
      "X-Forwarded-Client-Cert",
      "X-Forwarded-Email",
      "X-Hub-Signature-256",
      "X-MS-CLIENT-PRINCIPAL",
      "X-Otp",
      "X-Pass",
      "dapr-api-token",
      "user_agent", // would be HTTP_USER_AGENT, too
      "x-a-header-of-tomorrow",
    ].map((name) => [name, "of-the-caller"]);
    const { text } = await serve()
      .get("/")
      .set({ ...passed, ...Object.fromEntries(others) })
      .expect(200);
    expect(text).not.toContain("of-the-caller");
    expect(text.match(/^HTTP_.*/gm)?.sort()).toEqual(
      Object.entries(passed)
        .map(([name, value]) => `HTTP_${name.toUpperCase().replaceAll("-", "_")}: ${value}`)
        .sort(),
    );
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

  test("lets a module grow its memory to 16 MiB and not by another page", async () => {
    const source = `${print}export function _start(): void {
  while (memory.grow(1) >= 0) {}
  print(1, "Content-Type: text/plain\\n\\n" + memory.size().toString() + " pages");
}`;
    expect((await serve(build(source)).get("/").expect(200)).text).toBe("256 pages");
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

describe("hostile modules", () => {
  const print = `@external("wasi_snapshot_preview1", "fd_write")
declare function fd_write(fd: i32, pieces: usize, count: i32, written: usize): i32;
@external("wasi_snapshot_preview1", "environ_sizes_get")
declare function environ_sizes_get(count: usize, size: usize): i32;
@external("wasi_snapshot_preview1", "environ_get")
declare function environ_get(entries: usize, bytes: usize): i32;
const piece = changetype<usize>(new ArrayBuffer(16));
function print(text: string): i32 {
  const bytes = String.UTF8.encode(text);
  store<u32>(piece, changetype<usize>(bytes));
  store<u32>(piece, bytes.byteLength, 4);
  return fd_write(1, piece, 1, piece + 8);
}
const head = "Content-Type: text/plain\\n\\n";
`;
  const start = (body: string) => build(`${print}export function _start(): void { ${body} }`);
  /** A module whose only function is `_start`, of type 0. */
  const bare = { types: [[0x60, 0, 0]], functions: [0], memories: [[0, 1]], exported: { _start: 0 } };

  /** What `run` resolves with, or the message of the error that it rejects with. */
  async function run(module: WebAssembly.Module, timeoutMs = 5_000): Promise<string> {
    await runner?.close();
    runner = createRunner({ module, threads: 1, timeoutMs, maxWaiting: 1 });
    return runner.run({}).then(String, (error) => error.message);
  }

  test("100 heads of 8,000 spaces and a control character cost the host less than a second of CPU time", async () => {
    const api = serve(start('print("content-type:" + " ".repeat(10000) + "\\x01"); print("\\n\\nbody");'));
    await api.get("/").expect(502);
    const before = process.cpuUsage();
    for (const end of ["\x01\n\nbody", "\x01", "\n".repeat(5_000)]) {
      expect(() => parseCgiResponse(Buffer.from(`content-type:${" ".repeat(10_000)}${end}`))).toThrow("no empty line");
    }
    const longest = Buffer.from(`content-type:${" ".repeat(8_000)}\x01\n\n`);
    for (let count = 0; count < 100; count++) expect(() => parseCgiResponse(longest)).toThrow("malformed");
    expect(() => parseCgiResponse(Buffer.from("x:\n".repeat(1_000_000)))).toThrow("no empty line");
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1e6).toBeLessThan(1);
  });

  test.each(["proc_raise", "poll_oneoff", "sock_accept", "path_open", "random_get", "sched_yield"])(
    "a module that imports %s is refused at the start",
    (name) => {
      const imports = [["wasi_snapshot_preview1", name, 0]] as const;
      const bytes = assemble({ ...bare, imports, exported: { _start: 1 }, code: [[0x10, 0]] });
      expect(() => loadModule(bytes, "m.wasm")).toThrow(
        `m.wasm imports what the host does not offer: wasi_snapshot_preview1.${name}.`,
      );
    },
  );

  test("a module that is no command, or does not compile, is refused at the start", () => {
    expect(() => loadModule(assemble({ ...bare, exported: {}, code: [[]] }), "m.wasm")).toThrow("not a WASI command");
    expect(() => loadModule(assemble({ ...bare, memories: [], code: [[]] }), "m.wasm")).toThrow("not a WASI command");
    expect(() => loadModule(Buffer.from("no module"), "m.wasm")).toThrow("m.wasm does not compile: ");
  });

  test("a module with several memories or tables, which have a limit each, is refused at the start", () => {
    const memory = [0, 1];
    const table = [0x70, 0, 1];
    const memories = assemble({ ...bare, memories: [memory, memory], code: [[]] });
    expect(() => loadModule(memories, "m.wasm")).toThrow("m.wasm has more than one memory");
    const tables = assemble({ ...bare, tables: [table, table], code: [[]] });
    expect(() => loadModule(tables, "m.wasm")).toThrow("m.wasm has more than one table");
  });

  test("300,000 bytes, printed one by one, take linear time", async () => {
    const module = start(`print(head); store<u32>(piece, piece + 12); store<u8>(piece, 46, 12); store<u32>(piece, 1, 4);
      for (let index = 0; index < 300000; index++) fd_write(1, piece, 1, piece + 8);`);
    const before = process.cpuUsage();
    expect(await run(module, 50_000)).toBe(`Content-Type: text/plain\n\n${".".repeat(300_000)}`);
    expect(process.cpuUsage(before).user).toBeLessThan(3_000_000); // microseconds, of all threads
  });

  test("output beyond the limit fails the run, even if the module goes on", async () => {
    const module = start("print(head); const text = 'x'.repeat(1000); for (let i = 0; i < 2000; i++) print(text);");
    expect(await run(module)).toBe("the module printed more than 1048576 bytes");
  });

  test("host functions return an error number to a module that passes addresses outside its memory", async () => {
    const calls = {
      "fd_write(1, 0x7ffffff0, 1, piece)": 21,
      "fd_write(1, usize(-8), 1, piece)": 21,
      "fd_write(1, piece, 0, 0xffffffff)": 21,
      "fd_write(1, long, 1, piece + 8)": 21,
      "fd_write(1, piece, 0x7fffffff, piece)": 28,
      "fd_write(1, piece, -1, piece)": 28,
      "fd_write(3, piece, 0, piece)": 8,
      "fd_write(0, piece, 0, piece)": 8,
      "environ_sizes_get(0xfffffff0, 0)": 21,
      "environ_sizes_get(0, usize(-1))": 21,
      "environ_get(0xfffffff0, 0)": 21,
      "environ_get(0, 0xfffffff0)": 21,
    };
    const printed = Object.keys(calls).map((call) => `(${call}).toString()`);
    const api = serve(
      start(`const long = changetype<usize>(new ArrayBuffer(8)); store<u32>(long, 0xffffffff, 4);
        print(head + [${printed.join()}].join());`),
    );
    expect((await api.get("/").expect(200)).text).toBe(Object.values(calls).join());
  });

  test("proc_exit ends the instance alone, also in a module that catches the exception and returns", async () => {
    const types = [...bare.types, [0x60, 1, 0x7f, 0]];
    const imports = [["wasi_snapshot_preview1", "proc_exit", 1]] as const;
    const exit = (status: number) => [0x41, status, 0x10, 0];
    const module = (code: number[]) =>
      loadModule(assemble({ ...bare, types, imports, exported: { _start: 1 }, code: [code] }), "m.wasm");
    expect(await run(module(exit(0)))).toBe("");
    expect(await run(module(exit(7)))).toBe("the module exited with status 7");
    // block; try_table (catch_all 0) …; end; end
    const caught = (status: number) => [0x02, 0x40, 0x1f, 0x40, 1, 0x02, 0, ...exit(status), 0x0b, 0x0b];
    expect(await run(module([...caught(7), ...exit(0)]))).toBe("the module exited with status 7");
  });

  test("a module that traps or loops in its start function fails its run alone", async () => {
    const twice = { ...bare, functions: [0, 0], start: 1 };
    const traps = loadModule(assemble({ ...twice, code: [[], [0x00]] }), "m.wasm");
    expect(await run(traps)).toBe("unreachable");
    const loops = loadModule(assemble({ ...twice, code: [[], [0x03, 0x40, 0x0c, 0, 0x0b]] }), "m.wasm");
    expect(await run(loops, 300)).toBe("the module did not finish within 300 ms");
  });

  test("a table, which is memory of the host, cannot grow by nine million entries", async () => {
    // ref.null func; i32.const 9_000_000; table.grow 0; i32.const -1; i32.ne; if; unreachable; end
    const grow = [0xd0, 0x70, 0x41, 0xc0, 0xa8, 0xa5, 0x04, 0xfc, 15, 0, 0x41, 0x7f, 0x47, 0x04, 0x40, 0x00, 0x0b];
    expect(await run(loadModule(assemble({ ...bare, tables: [[0x70, 0, 1]], code: [grow] }), "m.wasm"))).toBe("");
  });

  test("objects without end, which are outside the module's memory, end its thread and not the process", async () => {
    const array = [0x5e, 0x7e, 1]; // of i64
    const link = [0x5f, 2, 0x63, 2, 1, 0x63, 1, 1]; // struct of the previous link and an array
    // loop; local.get 0; i32.const 1000; array.new_default 1; struct.new 2; local.set 0; br 0; end
    const chain = [0x03, 0x40, 0x20, 0, 0x41, 0xe8, 0x07, 0xfb, 7, 1, 0xfb, 0, 2, 0x21, 0, 0x0c, 0, 0x0b];
    const parts = { ...bare, types: [...bare.types, array, link], locals: [0x63, 2], code: [chain] };
    expect(await run(loadModule(assemble(parts), "m.wasm"), 50_000)).toContain("ERR_WORKER_OUT_OF_MEMORY");
  });

  test("an environment beyond 256 KiB is refused before an instance runs", async () => {
    serve();
    await expect(runner?.run({ LONG: "x".repeat(262_144) })).rejects.toThrow("the environment exceeds 262144 bytes");
  });
});

test("parseCgiResponse ends the headers at the first empty line and reads only the Content-Type", () => {
  const { type, body } = parseCgiResponse(Buffer.from("X: y\r\ncontent-type: a/b\r\n\r\nContent-Type: c/d\n\nrest"));
  expect(type).toBe("a/b");
  expect(body.toString()).toBe("Content-Type: c/d\n\nrest");
  expect(() => parseCgiResponse(Buffer.from("Content-Type: a/b\n"))).toThrow("no empty line");
  expect(() => parseCgiResponse(Buffer.from("\n\nContent-Type: a/b"))).toThrow("no Content-Type");
  expect(() => parseCgiResponse(Buffer.from("content-type-x: a/b\n\n"))).toThrow("no Content-Type");
});

describe("the hello-wasm process", () => {
  test.skipIf(process.platform !== "linux")(
    "frees the instances of 11,000 requests, sent 500 at a time, and prints no warning",
    async () => {
      const service: Process = await startService("hello-wasm", {
        ...patience,
        NODE_OPTIONS: "--disable-wasm-trap-handler",
      });
      const ask = async () => {
        // On a busy machine, the service may close a kept connection just before its next request.
        const response = await fetch(service.origin, { headers: { connection: "close" } });
        return (await response.text()).startsWith("Hello, world!");
      };
      const status = () => readFileSync(`/proc/${service.pid}/status`, "utf8");
      const sizeMiB = () => Number(/VmSize:\s+(\d+)/.exec(status())?.[1]) / 1024;
      const askAtOnce = () => Promise.all(Array.from({ length: 500 }, ask));
      expect(await askAtOnce()).not.toContain(false);
      expect(await askAtOnce()).not.toContain(false);
      const before = sizeMiB();
      const rounds = 20;
      for (let round = 0; round < rounds; round++) await askAtOnce();
      expect(await (await fetch(`${service.origin}/metrics`)).text()).toMatch(/^wasm_instances 0$/m);
      // Each instance reserves 1 MiB of addresses. The bound leaves room for instances that are not collected yet.
      expect(sizeMiB() - before).toBeLessThan((rounds * 500) / 2);
      expect(service.output()).not.toMatch(/warning/i);
      expect(await service.end()).toBe(0);
    },
  );

  test("becomes ready, serves requests, and exits with 0 on SIGTERM", async () => {
    await inProcess("hello-wasm", patience, async (get) => {
      expect((await get("/readyz")).status).toBe(200);
      expect(await (await get("/?a=b")).text()).toContain("QUERY_STRING: a=b");
    });
  });
});
