import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { load } from "../bench/load.ts";
import type { Row } from "../bench/measure.ts";
import { readOptions } from "../bench/options.ts";
import { createRandom } from "../bench/release/random.ts";
import { createResults } from "../bench/results.ts";
import { listTargets, operations } from "../bench/rivals.ts";
import { shuffle } from "../bench/shuffle.ts";
import { freePorts, launch, root, run } from "./support/processes.ts";

type Listener = Parameters<typeof createServer>[1];

async function listen(listener: Listener): Promise<number> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

const getFrom = (port: number) => ({ port, request: () => ({ method: "GET" as const, path: "/" }) });

describe("the load generator", () => {
  /** Its clock, in milliseconds. */
  let now = 0;
  beforeEach(() => {
    now = 0;
    vi.spyOn(performance, "now").mockImplementation(() => now);
  });
  afterEach(() => void vi.restoreAllMocks());
  /** A server that takes `milliseconds` for its first response, for the second and so on, the last one repeatedly. */
  const serve = (statuses: readonly number[], ...milliseconds: readonly number[]) => {
    let count = 0;
    return listen((_req, res) => {
      now += milliseconds[Math.min(count, milliseconds.length - 1)] ?? 0;
      res.writeHead(statuses[count++ % statuses.length] ?? 200).end();
    });
  };

  test("counts responses with an error status as failures, and neither in the rate nor in the latencies", async () => {
    const port = await serve([200, 500], 5, 20);
    const { failure, ...counts } = await load(getFrom(port), 1, 200);
    expect(counts).toEqual({ perSecond: 25, p50: 20_000, p99: 20_000, responses: 11, failures: 5 });
    expect(failure).toMatch(/^HTTP\/1.1 500 /);
  });

  test("counts a response after the window among the responses, but not in the rate", async () => {
    const port = await serve([200], 50, 60);
    const counted = { perSecond: 10, p50: 50_000, p99: 50_000, responses: 2, failures: 0 };
    expect(await load(getFrom(port), 1, 100)).toEqual(counted);
  });

  test("extends the window to the first response, and then sends no more", async () => {
    const port = await serve([200], 400);
    const counted = { perSecond: 2.5, p50: 400_000, p99: 400_000, responses: 1, failures: 0 };
    expect(await load(getFrom(port), 1, 100)).toEqual(counted);
  });

  test("counts each connection that the server cuts or refuses as a failure", async () => {
    const cutting = await listen((req) => req.socket.destroy());
    expect(await load(getFrom(cutting), 3, 100)).toMatchObject({ perSecond: 0, responses: 0, failures: 3 });
    const [unused = 0] = await freePorts(1);
    expect(await load(getFrom(unused), 3, 100)).toMatchObject({ perSecond: 0, responses: 0, failures: 3 });
  });
});

describe("the results", () => {
  const row = (perSecond: number, failures = 0): Row => ({
    perSecond,
    failures,
    responses: perSecond,
    p50: 1,
    p99: 1,
    serviceCpu: 1,
    sidecarCpu: 1,
  });

  test("have the median of the rounds' ratios, and none when a request of either rival failed", () => {
    const { find, figure, ratio } = createResults();
    find(1, "get", "state-api").push(row(10), row(40), row(30));
    find(1, "get", "bare sidecar").push(row(10), row(10), row(10));
    find(1, "get", "plain SDK service").push(row(10), row(10, 1), row(10));
    expect(ratio(1, "get", "perSecond", "state-api", "bare sidecar")).toBe(3);
    expect(ratio(1, "get", "perSecond", "state-api", "plain SDK service")).toBeNaN();
    expect(ratio(1, "get", "perSecond", "plain SDK service", "state-api")).toBeNaN();
    expect([figure(1, "get", "perSecond", "state-api"), figure(1, "get", "p50", "plain SDK service")]).toEqual([
      30,
      Number.NaN,
    ]);
  });
});

test("shuffle returns each item once, in the same order for the same seed, and in every order for others", () => {
  const order = (seed: number) => shuffle(["a", "b", "c"], createRandom(seed)).join("");
  expect(order(7)).toBe(order(7));
  expect(new Set(Array.from({ length: 100 }, (_, seed) => order(seed)))).toEqual(
    new Set(["abc", "acb", "bac", "bca", "cab", "cba"]),
  );
});

test("the service with plain SDK calls returns 500 when the sidecar does not save", async () => {
  const sidecar = await listen((req, res) => res.writeHead(req.method === "POST" ? 500 : 200).end("{}"));
  const [port = 0] = await freePorts(1);
  const origin = `http://127.0.0.1:${port}`;
  const { end } = await launch({
    name: "plain SDK service",
    path: process.execPath,
    args: ["bench/plain-sdk.ts"],
    cwd: root,
    env: { ...process.env, PORT: `${port}`, DAPR_HTTP_PORT: `${sidecar}` },
    origin,
    readyPath: "/state/x",
  });
  const body = JSON.stringify({ key: "k", data: 1 });
  const headers = { "Content-Type": "application/json" };
  const { status } = await fetch(`${origin}/state`, { method: "POST", headers, body });
  await end();
  expect(status).toBe(500);
});

describe("npm run bench -- --quick", () => {
  const expected = [32, 1].flatMap((connections) =>
    operations.flatMap((operation) => listTargets(operation).map(({ rival }) => [connections, operation, rival])),
  );

  test("measures every rival of every operation without a failure, in the random order of the seed that it prints", {
    timeout: 120_000,
  }, async () => {
    const { ended, output } = run(process.execPath, ["bench/bench.ts", "--quick", "--seed", "5"]);
    expect((await ended).code, output()).toBe(0);
    const [table = ""] = output().split("│ figure ");
    const rows = [...table.matchAll(/^│ \d+ +│ (.*) │$/gm)].map(([, row = ""]) =>
      row.split("│").map((cell) => cell.trim().replaceAll("'", "")),
    );
    expect(rows.map(([connections, operation, rival]) => [Number(connections), operation, rival])).toEqual(expected);
    for (const [, , rival, , p50, , , , failures, ...rest] of rows) {
      expect(Number(p50), rival).toBeGreaterThan(0); // not a number without a success
      expect([failures, rest], rival).toEqual(["0", []]);
    }
    const random = createRandom(5);
    for (const connections of [32, 1]) {
      for (const operation of operations) {
        const turns = shuffle(listTargets(operation), random).map(({ rival }) => rival);
        expect(output()).toContain(`${operation}, ${connections} at a time, round 1: ${turns.join(", ")}\n`);
      }
    }
    expect(output()).toContain("--seed 5 repeats it");
  });

  test("has another seed for each run without --seed, and rejects one that is not a number", () => {
    const seeds = Array.from({ length: 10 }, () => readOptions(["--quick"]).seed);
    expect(new Set(seeds).size).toBeGreaterThan(1);
    expect(() => readOptions(["--seed", "x"])).toThrow("--seed x is not an integer");
  });
});
