// What only real requests and real processes show: tokens that expire, responses that hang or get lost on their way,
// and the command, started by npm, that gets SIGKILL. The tests run side by side, because most of their time is
// waiting.
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import tls from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { field } from "../../../services/runtime/field.ts";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";
import { spawn } from "../../../tools/processes/spawn.ts";
import { createResourceManager } from "../../../tools/release/azure/resource-manager.ts";
import { createSignIn, type GetToken } from "../../../tools/release/azure/sign-in.ts";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";
import { release } from "../../../tools/release/run/runner.ts";
import { type Fault, faults, type SeenRequest } from "../../simulators/container-apps/faults.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { createProbe } from "../../simulators/container-apps/routing.ts";
import { type Served, serveSimulator } from "../../simulators/container-apps/serve.ts";
import { createSimulator, groupName, subscriptionId, workspaceId } from "../../simulators/container-apps/simulator.ts";
import { root } from "../../support/processes.ts";
import { start } from "./model.ts";
import { quickDefinition } from "./simulated.ts";
import { watch } from "./simulated-rules.ts";

beforeAll(async () => {
  const { ca } = await loadKeys();
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
});

const servers: Server[] = [];
afterAll(() => {
  for (const server of servers) server.closeAllConnections();
  for (const server of servers) server.close();
});

type Prepare = (simulator: ReturnType<typeof createSimulator>) => void;

/** A release through HTTPS, on a virtual clock. */
async function releaseThroughHttps(prepare: Prepare, signIn?: (served: Served) => GetToken) {
  const simulator = createSimulator({ workload: steady({ perSecond: 60 }), tags: { team: "a" } });
  simulator.options.metricLag = { first: 30, whole: 60 };
  simulator.virtualClock.advance(60_000);
  simulator.options.requestTime = 200;
  const rules = watch(simulator, quickDefinition);
  prepare(simulator);
  const served = await serveSimulator(simulator);
  try {
    const token = await fetchToken(served);
    const probe = createProbe(simulator);
    const outcome = await release({
      definition: quickDefinition,
      goal: start(),
      azure: createResourceManager({
        target: { subscription: subscriptionId, resourceGroup: groupName, app: "welcome" },
        origin: served.azure.httpsUrl,
        getToken: signIn?.(served) ?? (async () => token),
        logs: { origin: served.logsUrl, getToken: async () => token, workspace: workspaceId },
        clock: simulator.clock,
        timeout: 3_000,
      }),
      clock: simulator.clock,
      async probe(url) {
        const result = await probe(url);
        rules.probed(url, result);
        return result;
      },
      runTest: async () => ({ ok: true }),
      owner: "https",
      show: { report: (report) => rules.reported(report), end() {} },
    });
    return { outcome, weights: Object.entries(simulator.weights()), violations: rules.violations };
  } finally {
    await served.close();
  }
}

/** Entra ID, and the endpoint of GitHub that issues assertions. @returns their origin */
async function serveEntra(exchange: (assertion: string | null) => Promise<string>): Promise<string> {
  const { key, cert } = await loadKeys();
  let count = 0;
  const server = createServer({ key, cert }, async (request, response) => {
    const origin = `https://127.0.0.1:${portOf(server)}`;
    const path = new URL(request.url ?? "/", origin).pathname;
    response.setHeader("Content-Type", "application/json");
    if (path === "/assertion") {
      count += 1;
      response.end(JSON.stringify({ value: `assertion-${count}` }));
    } else if (path.endsWith("/token")) {
      const assertion = new URLSearchParams(await text(request)).get("client_assertion");
      const token = await exchange(assertion);
      response.end(JSON.stringify({ token_type: "Bearer", expires_in: 3600, access_token: token }));
    } else {
      const [issuer, names] = [`${origin}/tenant`, { token: "token", authorization: "authorize" }];
      const endpoints = Object.entries(names).map(([name, value]) => [`${name}_endpoint`, `${issuer}/${value}`]);
      response.end(JSON.stringify({ ...Object.fromEntries(endpoints), issuer: `${issuer}/v2.0`, jwks_uri: issuer }));
    }
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  servers.push(server);
  return `https://127.0.0.1:${portOf(server)}`;
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === "object" && address ? address.port : 0;
}

async function fetchToken({ env }: Served): Promise<string> {
  const url = `${env.IDENTITY_ENDPOINT}?api-version=2019-08-01&resource=https://management.azure.com`;
  const response = await fetch(url, { headers: { "X-IDENTITY-HEADER": env.IDENTITY_HEADER ?? "" } });
  return String(field(await response.json(), "access_token"));
}

const promoted = {
  outcome: "promoted",
  weights: [[expect.stringMatching(/^welcome--r[0-9a-f]{8}$/), 100]],
  violations: [],
};

describe.concurrent("a release through HTTPS", () => {
  test("scenario 17: goes on when its token expires, with a token for a fresh assertion of GitHub each time", async () => {
    const lifetime = 2 * 60_000;
    const firstUse = new Map<string, number>();
    let rejected = 0;
    const { response } = faults.expired;
    if (response === "lost" || response === "none") throw new Error("a response is expected");
    let served: Served | undefined;
    const assertions: unknown[] = [];
    const origin = await serveEntra(async (assertion) => {
      assertions.push(assertion);
      return served ? fetchToken(served) : "";
    });
    const ended = await releaseThroughHttps(
      (simulator) => {
        const { handle, clock } = simulator;
        simulator.handle = async (request) => {
          const token = request.headers.authorization ?? "";
          const since = firstUse.get(token) ?? clock.now();
          firstUse.set(token, since);
          if (clock.now() - since < lifetime) return handle(request);
          rejected += 1;
          return response;
        };
      },
      (one) => {
        served = one;
        const env = {
          ACTIONS_ID_TOKEN_REQUEST_URL: `${origin}/assertion`,
          ACTIONS_ID_TOKEN_REQUEST_TOKEN: "of-github",
          AZURE_CLIENT_ID: "client",
          AZURE_TENANT_ID: "tenant",
        };
        return createSignIn({ resource: "https://management.azure.com", authorityHost: origin, env });
      },
    );
    expect(ended).toEqual(promoted);
    // A release of a quarter of an hour. Each token is rejected once, and never used again.
    expect(firstUse.size).toBeGreaterThan(3);
    expect(rejected).toBe(firstUse.size - 1);
    expect(new Set(assertions).size).toBe(firstUse.size);
  });

  const isRaise = ({ method, body }: SeenRequest) => method === "PATCH" && body.includes("phase=step step=1");
  const isRead = ({ kind }: SeenRequest) => kind === "replicas";

  test.each<[string, Fault, (request: SeenRequest) => boolean]>([
    ["a read that hangs", faults.hanging, isRead],
    ["a write that hangs before its effect", faults.hanging, isRaise],
    ["a write that hangs after its effect", faults.hangingAfter, isRaise],
    ["a read whose response is lost", faults.lost, isRead],
    ["a write whose connection is lost before its effect", faults.lost, isRaise],
    ["a write whose response is lost after its effect", faults.lostAfter, isRaise],
  ])("goes on after %s, and writes no weight twice", { timeout: 60_000 }, async (_, fault, isTarget) => {
    let hits = 0;
    let raises = 0;
    const ended = await releaseThroughHttps((simulator) => {
      simulator.options.intercept = (request) => {
        const isHit = hits === 0 && isTarget(request);
        if (isHit) hits += 1;
        if (isRaise(request) && request.body.includes('"traffic"') && !(isHit && !fault.hasEffect)) raises += 1;
        return isHit ? fault : undefined;
      };
    });
    expect({ hits, raises }).toEqual({ hits: 1, raises: 1 });
    expect(ended).toEqual(promoted);
  });
});

describe.concurrent("npm run release that gets SIGKILL", () => {
  /** How many times as fast as usual the time of the simulator and of the command runs. */
  const speed = 25;
  const folder = mkdtempSync(join(tmpdir(), "release-killed-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The app, a release.yaml whose test is this command, and the command of a user. */
  async function prepare(name: string, test: string) {
    const file = join(folder, `${name}.yaml`);
    const yaml = `app: welcome
test: [{ run: ${JSON.stringify(test)} }]
steps: [{ weight: 5, for: 3m }, { weight: 50, for: 3m }]
bake: 3m
checks: [{ name: 5xx, source: metrics, margin: 2%, lag: 1m }]
`;
    writeFileSync(file, yaml);
    const startedAt = Date.now();
    let skipped = 0;
    const clock = {
      now: () => startedAt + (Date.now() - startedAt) * speed + skipped,
      sleep: async (milliseconds: number) => void (await sleep(milliseconds / speed)),
    };
    const simulator = createSimulator({ clock, workload: steady({ perSecond: 60 }), tags: { team: "a" } });
    simulator.options.metricLag = { first: 30, whole: 60 };
    const rules = watch(simulator, parseDefinition(yaml, file));
    const served = await serveSimulator(simulator);
    return {
      simulator,
      rules,
      close: served.close,
      skip(milliseconds: number) {
        skipped += milliseconds;
      },
      /** In a process group of its own, which a kill of a runner of jobs ends as a whole. */
      run(...args: string[]) {
        const child = spawn("npm", ["run", "release", "--", "run", "welcome", "--file", file, ...args], {
          cwd: root,
          detached: true,
          env: {
            ...process.env,
            ...served.env,
            // The clock of the simulator, which has skipped some time.
            SIMULATOR_CLOCK: `${startedAt - skipped / (speed - 1)}:${speed}`,
            NODE_OPTIONS: `--import=${new URL("../../simulators/container-apps/fast-clock.mjs", import.meta.url)}`,
          },
          stdio: ["ignore", "pipe", "pipe"],
        });
        const ended = Promise.all([once(child, "close"), text(child.stdout), text(child.stderr)]).then(
          ([[code, signal], output, errors]) => ({ code, signal, output: output + errors }),
        );
        return { ended, kill: () => process.kill(-(child.pid ?? Number.NaN), "SIGKILL") };
      },
    };
  }

  const image = ["--image", "registry.example/welcome:2.0.0"];

  test("in a step leaves its weights, and another process goes on from there", { timeout: 180_000 }, async () => {
    const { simulator, rules, run, skip, close } = await prepare("step", "true");
    const first = run(...image);
    // The first step reads metrics. The kill comes before the response, because the step ends soon after it.
    simulator.options.onRequest = (_, { kind }) => {
      if (kind !== "metrics") return;
      simulator.options.onRequest = undefined;
      first.kill();
    };
    expect(await first.ended).toMatchObject({ signal: "SIGKILL" });
    const { "release-progress": tag } = simulator.app.wanted.tags;
    expect(tag).toContain("phase=step step=1");
    skip(5 * 60_000);
    expect(Object.values(simulator.weights())).toEqual([95, 5]);
    const { code, output } = await run().ended;
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("promoted") });
    expect(output).not.toContain("tests welcome--");
    expect(Object.values(simulator.weights())).toEqual([100]);
    expect(rules.violations).toEqual([]);
    await close();
  });

  test("in a test leaves all traffic on the old revision, and another process tests again", {
    timeout: 180_000,
  }, async () => {
    const [begun, passed] = [join(folder, "begun"), join(folder, "passed")];
    const command = `[ -e ${begun} ] && touch ${passed} || { touch ${begun}; sleep 60; }`;
    const { simulator, rules, run, skip, close } = await prepare("test", command);
    const first = run(...image);
    await vi.waitFor(() => expect(existsSync(begun)).toBe(true), { timeout: 60_000, interval: 5 });
    first.kill();
    expect(await first.ended).toMatchObject({ signal: "SIGKILL" });
    expect(simulator.app.wanted.tags["release-progress"]).toContain("phase=testing");
    expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
    expect(existsSync(passed)).toBe(false);
    // A command may take 10 minutes, so its lock lasts for 20.
    skip(20 * 60_000);
    const { code, output } = await run().ended;
    expect({ code, output }).toMatchObject({ code: 0, output: expect.stringContaining("promoted") });
    expect(existsSync(passed)).toBe(true);
    expect(rules.violations).toEqual([]);
    await close();
  });
});
