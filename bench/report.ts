// Prints the medians of all rounds, and the targets with the measured ratios.
import { cpus } from "node:os";
import { type Figure, median } from "./measure.ts";
import type { readOptions } from "./options.ts";
import type { measureParsing } from "./parsing.ts";
import type { Results } from "./results.ts";
import type { Rival } from "./rivals.ts";

interface Figures {
  results: Results;
  /** Milliseconds from spawn to listening, by service. */
  startTimes: Readonly<Record<string, number>>;
  /** MiB after the load. */
  memory: { service: number; sidecar: number };
  parsing: ReturnType<typeof measureParsing>;
  options: ReturnType<typeof readOptions>;
}

export function report({ results, startTimes, memory, parsing, options }: Figures): void {
  const runs = results.all.flatMap(({ rows }) => rows).length;
  const processor = `${cpus().length} × ${cpus()[0]?.model}`;
  console.log(`\n${processor}, Node ${process.version}, ${runs} runs of ${options.measureMs} ms`);
  console.log(`The rivals took turns in random order; --seed ${options.seed} repeats it.`);
  console.table(listMedians(results));
  console.table([...listRatios(results), ...listStarts(startTimes, options.starts)]);
  console.log(`A token costs welcome ${signatureCost(results)} µs of CPU: each request verifies one RS256 signature.`);
  console.log("The cost of parseJson, which checks what a store cannot hold, to JSON.parse:");
  console.table(parsing);
  console.log(`Memory after the load: service ${memory.service} MiB, sidecar ${memory.sidecar} MiB.`);
}

function listMedians({ all }: Results) {
  return all.map(({ connections, operation, rival, rows }) => {
    const of = (figure: Figure) => median(rows.map((row) => row[figure]));
    return {
      "at a time": connections,
      operation,
      of: rival,
      "per s": Math.round(of("perSecond")),
      "p50 µs": Math.round(of("p50")),
      "p99 µs": Math.round(of("p99")),
      "service CPU µs": Number(of("serviceCpu").toFixed(1)),
      "sidecar CPU µs": Number(of("sidecarCpu").toFixed(1)),
      failures: rows.reduce((sum, { failures }) => sum + failures, 0),
    };
  });
}

function listRatios({ figure, ratio }: Results) {
  const bare = "bare sidecar";
  const plain = "plain SDK service";
  return [
    ...(["save", "get"] as const).flatMap((operation) => [
      target(
        `${operation}/s, 32 at a time, to the bare sidecar`,
        ratio(32, operation, "perSecond", "state-api", bare),
        ">=",
        operation === "save" ? 0.8 : 1,
      ),
      target(
        `${operation}/s, 32 at a time, to the plain SDK service`,
        ratio(32, operation, "perSecond", "state-api", plain),
        ">=",
        3,
      ),
      target(
        `service CPU of a ${operation}, 32 at a time, to the same service without checks of the caller`,
        ratio(32, operation, "serviceCpu", "state-api", "state-api without checks"),
        "<=",
        1.03,
      ),
      target(
        `sidecar CPU of a ${operation}, 32 at a time, to the bare sidecar`,
        ratio(32, operation, "sidecarCpu", "state-api", bare),
        "<=",
        0.5,
      ),
    ]),
    target(
      "service CPU of welcome, 32 at a time, to the same service without checks of the caller",
      ratio(32, "secret", "serviceCpu", "welcome", "welcome without checks"),
      "<=",
      1.03,
    ),
    target("p50 of get, one at a time, to the bare sidecar", ratio(1, "get", "p50", "state-api", bare), "<=", 3.3),
    target(
      "groupz/s, 32 at a time, to bare node:http",
      ratio(32, "groupz", "perSecond", "group-lister", "bare node:http"),
      ">=",
      0.5,
    ),
    target("p50 of groupz in ms, 32 at a time", figure(32, "groupz", "p50", "group-lister") / 1000, "<=", 1),
  ];
}

/** Microseconds; the ratio to a request that does nothing else says little. */
function signatureCost({ figure }: Results): string {
  const cpuOf = (rival: Rival) => figure(32, "secret", "serviceCpu", rival);
  return (cpuOf("welcome with sign-in") - cpuOf("welcome")).toFixed(0);
}

function listStarts(startTimes: Figures["startTimes"], starts: number) {
  return Object.entries(startTimes).map(([app, ms]) =>
    target(`${app}: ms from spawn to listening, median of ${starts}`, ms, "<=", 150),
  );
}

function target(figure: string, measured: number, relation: "<=" | ">=", wanted: number) {
  const met = relation === "<=" ? measured <= wanted : measured >= wanted;
  return { figure, wanted: `${relation} ${wanted}`, measured: Number(measured.toFixed(2)), met: met ? "yes" : "NO" };
}
