import { existsSync, readFileSync } from "node:fs";
import { type Running, stop } from "../tools/processes/process.ts";
import { type Load, load, type Target } from "./load.ts";
import { ports } from "./ports.ts";
import { describeApp, start } from "./servers.ts";

export interface Row extends Load {
  /** Microseconds of CPU per response; NaN outside Linux. */
  readonly serviceCpu: number;
  readonly sidecarCpu: number;
}

export type Figure = Exclude<keyof Row, "failure">;

export async function measure(
  target: Target,
  connections: number,
  service: Running | undefined,
  sidecar: Running,
  { warmUpMs, measureMs }: { warmUpMs: number; measureMs: number },
): Promise<Row> {
  const warmUp = await load(target, connections, warmUpMs);
  const before = { service: cpuMicros(service), sidecar: cpuMicros(sidecar) };
  const result = await load(target, connections, measureMs);
  return {
    ...result,
    failures: warmUp.failures + result.failures,
    failure: warmUp.failure ?? result.failure,
    serviceCpu: service ? (cpuMicros(service) - before.service) / result.responses : 0,
    sidecarCpu: (cpuMicros(sidecar) - before.sidecar) / result.responses,
  };
}

/** Median milliseconds from spawn to the log line "listening". An uncounted first start fills the compile cache. */
export async function measureStart(appId: string, starts: number): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run <= starts; run++) {
    const { promise: listening, resolve } = Promise.withResolvers<void>();
    const startedAt = performance.now();
    const running = start(describeApp(appId, ports.stateApi, { LOG_LEVEL: "info" }), (line) => {
      if (line.includes("listening")) resolve();
    });
    await listening;
    if (run > 0) times.push(performance.now() - startedAt);
    await stop([running], 10_000);
  }
  return median(times);
}

/** CPU time of a process so far; Linux only. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html */
function cpuMicros(process: Running | undefined): number {
  const file = `/proc/${process?.pid}/stat`;
  if (!existsSync(file)) return Number.NaN;
  const fields = readFileSync(file, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10_000; // ticks of 10 ms
}

/** Resident memory; Linux only. */
export function residentMiB({ pid }: Running): number {
  const file = `/proc/${pid}/status`;
  if (!existsSync(file)) return Number.NaN;
  return Math.round(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(file, "utf8"))?.[1]) / 1024);
}

export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}
