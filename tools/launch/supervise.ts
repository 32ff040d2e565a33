// Runs processes side by side: their logs in one stream, an end for all of them.
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { styleText } from "node:util";
import { prettyFactory } from "pino-pretty";

export interface Command {
  /** What its lines begin with. */
  name: string;
  color: Color;
  path: string;
  args: string[];
  cwd: string;
  env: NodeJS.ProcessEnv;
}

export type Color = "cyan" | "magenta" | "green" | "yellow" | "blue";

export interface Running {
  readonly name: string;
  /** Resolves when the process has ended and all it said was printed: "exited with code 1", "ended by SIGKILL". */
  readonly ended: Promise<string>;
  /** The last lines it said. */
  lastLines(): string[];
  /** To the process and all it started. */
  signal(signal: NodeJS.Signals): void;
}

/** Starts a process whose log lines go to stdout under its name, padded to `width`. */
export function run({ name, color, path, args, cwd, env }: Command, width: number): Running {
  const child = spawn(path, args, {
    cwd,
    env,
    stdio: ["ignore", "pipe", "pipe"],
    // A process group of its own: Ctrl-C in the terminal reaches only the launcher, which ends all in order.
    detached: true,
  });
  const lines: string[] = [];
  const prefix = styleText(color, `${name.padEnd(width)} |`);
  const print = (line: string) => {
    for (const part of render(line)) {
      lines.push(part);
      process.stdout.write(`${prefix} ${part}\n`);
    }
    lines.splice(0, lines.length - 15);
  };
  createInterface(child.stdout).on("line", print);
  createInterface(child.stderr).on("line", print);

  let over = false;
  const ended = new Promise<string>((resolve) => {
    const settle = (how: string) => {
      over = true;
      resolve(how);
    };
    // What it leaves behind would hold its ports and its end of our pipes.
    child.once("exit", () => signalGroup(child, "SIGKILL"));
    child.once("error", (error) => settle(`could not be started: ${error.message}`));
    child.once("close", (code, signal) => settle(signal ? `was ended by ${signal}` : `exited with code ${code}`));
  });
  return {
    name,
    ended,
    lastLines: () => [...lines],
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
    // Nothing is left of the group.
  }
}

/** What daprd warns about because this suite does without it; no setting silences these. */
const unusedParts = new Set([
  "dapr.runtime.security", // mTLS is disabled
  "dapr.runtime.actor", // no placement service
  "dapr.runtime.scheduler.watchhosts", // no scheduler
]);

const prettify = prettyFactory({
  colorize: process.stdout.hasColors?.() ?? false,
  translateTime: "SYS:HH:MM:ss",
  singleLine: true,
  ignore: "pid,hostname,service,app_id,instance,scope,type,ver", // constant, or what the prefix says
});

/** Lines for people from one line of a log: of pino, of daprd, or plain text. */
export function render(line: string): string[] {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return line === "" ? [] : [line];
  }
  if (typeof entry !== "object" || entry === null || !("level" in entry)) return [line];
  if (entry.level === "warning") {
    if ("scope" in entry && typeof entry.scope === "string" && unusedParts.has(entry.scope)) return [];
    entry.level = "warn"; // pino's word for it
  }
  return prettify(entry)
    .split("\n")
    .filter((part) => part !== "");
}

/** SIGTERM, then SIGKILL to those that have not ended in time. Resolves when all have. */
export async function stop(processes: Running[], graceMs: number): Promise<void> {
  for (const each of processes) each.signal("SIGTERM");
  const timer = setTimeout(() => kill(processes), graceMs);
  await Promise.all(processes.map((each) => each.ended));
  clearTimeout(timer);
}

export function kill(processes: Running[]): void {
  for (const each of processes) each.signal("SIGKILL");
}
