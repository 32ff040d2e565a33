// Child processes: start, wait until ready, stop. For `npm start`, the benchmark and the tests.
import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { renderLog } from "./render-log.ts";
import { spawn } from "./spawn.ts";

export interface Program {
  /** Name in messages. */
  name: string;
  path: string;
  args: readonly string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
}

/** A program that serves HTTP. */
export interface Server extends Program {
  /** e.g. http://127.0.0.1:8080 */
  origin: string;
  /** A GET of this path returns a 2xx status once the server is ready. */
  readyPath: string;
}

export interface Running<P extends Program = Program> {
  readonly program: P;
  readonly pid: number;
  /** Resolves when the process has ended and all its output has been read. */
  readonly ended: Promise<Ending>;
  /** Its last 15 lines of output. */
  lastLines(): string[];
  /** Signals the process and its children; does nothing after its end. */
  signal(signal: NodeJS.Signals): void;
}

interface Ending {
  /** Exit code; null when a signal ended it. */
  readonly code: number | null;
  /** e.g. "exited with code 1". */
  readonly how: string;
}

/** Starts a program, which ends with this process at the latest. */
export function startProcess<P extends Program>(program: P, onLine: (line: string) => void): Running<P> {
  const { path, args, cwd, env } = program;
  const child = spawn(path, args, {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own: Ctrl-C in a terminal reaches only the launcher, which stops its children in order.
    detached: true,
  });
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    createInterface(stream).on("line", (line) => {
      onLine(line);
      lines.push(line);
      lines.splice(0, lines.length - 15);
    });
  }

  let over = false;
  const ended = new Promise<Ending>((resolve) => {
    const settle = (code: number | null, how: string) => {
      over = true;
      resolve({ code, how });
    };
    // Children that outlive it would keep its ports and our pipes open.
    child.once("exit", () => signalGroup(child, "SIGKILL"));
    child.once("error", (error) => settle(null, `failed to start: ${error.message}`));
    child.once("close", (code, signal) => settle(code, signal ? `was ended by ${signal}` : `exited with code ${code}`));
  });
  return {
    program,
    pid: child.pid ?? Number.NaN,
    ended,
    lastLines: () => lines.flatMap(renderLog),
    signal: (signal) => {
      if (!over) signalGroup(child, signal);
    },
  };
}

function signalGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  try {
    if (process.platform === "win32") child.kill(signal);
    else process.kill(-child.pid, signal);
  } catch {
    // The group has ended.
  }
}

/** @throws Error with the last lines of output when the server ends or is not ready after `timeoutMs` */
export async function waitUntilReady(
  server: Running<Server>,
  { timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal },
): Promise<void> {
  const { name, origin, readyPath } = server.program;
  const deadline = performance.now() + timeoutMs;
  const polling = new AbortController();
  const poll = async () => {
    for (;;) {
      const status = await fetchStatus(origin + readyPath);
      if (status !== undefined && status >= 200 && status < 300) return;
      if (performance.now() > deadline) {
        const result = status === undefined ? "gets no response" : `returns ${status}`;
        const fault = `${name} is not ready after ${timeoutMs / 1000} s: GET ${origin}${readyPath} ${result}.`;
        throw new Error(withLastLines(fault, server));
      }
      await sleep(150, undefined, { signal: AbortSignal.any([polling.signal, ...(signal ? [signal] : [])]) });
    }
  };
  try {
    await Promise.race([poll(), rejectAtEnd(server)]);
  } finally {
    polling.abort();
  }
}

/** Rejects when the process ends, with its last lines of output. */
export async function rejectAtEnd(process: Running): Promise<never> {
  const { how } = await process.ended;
  throw new Error(withLastLines(`${process.program.name} ${how}.`, process));
}

function withLastLines(fault: string, process: Running): string {
  const lines = process.lastLines().map((line) => `  ${line}`);
  return `${fault} Its last lines:\n${lines.join("\n") || "  (it printed nothing)"}`;
}

async function fetchStatus(url: string): Promise<number | undefined> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000) });
    await response.body?.cancel();
    return response.status;
  } catch {
    return undefined;
  }
}

/** Sends SIGTERM, then SIGKILL after `graceMs`. Resolves when all have ended. */
export async function stop(processes: readonly Running[], graceMs: number): Promise<void> {
  for (const each of processes) each.signal("SIGTERM");
  const timer = setTimeout(() => kill(processes), graceMs);
  await Promise.all(processes.map((each) => each.ended));
  clearTimeout(timer);
}

export function kill(processes: readonly Running[]): void {
  for (const each of processes) each.signal("SIGKILL");
}
