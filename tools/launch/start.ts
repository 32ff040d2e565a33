// `npm start`: runs every app of dapr.yaml with its sidecar, on loopback, until Ctrl-C or until one of them ends.
// `npm start -- --azure` uses your own Azure instead of the stand-in.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { findDaprd } from "../daprd/find.ts";
import { createNamesFile } from "../daprd/names.ts";
import { kill, type Running, rejectAtEnd, type Server, stop, waitUntilReady } from "../processes/process.ts";
import { type App, startApps } from "./apps.ts";
import { readSettings, type Settings } from "./environment.ts";
import { listenForInterrupts } from "./interrupts.ts";
import { signIn, withoutStandIn } from "./own-azure.ts";
import { refuseTakenPorts } from "./refuse-taken-ports.ts";
import { renderTable } from "./table.ts";
import { readTemplate, type Suite } from "./template.ts";

// test/tools/launch.test.ts sets READY_WITHIN_MS.
const readyTimeoutMs = Number(process.env.READY_WITHIN_MS ?? 60_000);
const appGraceMs = 12_000; // the services drain for up to 10 s
const sidecarGraceMs = 6_000; // daprd takes up to 5 s

let apps: App[] = [];
const servers = () => apps.map(({ server }) => server);
const sidecars = () => apps.flatMap(({ sidecar }) => sidecar ?? []);
const killAll = () => kill([...servers(), ...sidecars()]);
const interrupted = listenForInterrupts(killAll);
process.on("exit", killAll);

try {
  const { values, positionals } = parseArgs({ options: { azure: { type: "boolean" } }, allowPositionals: true });
  const suite = readTemplate(positionals[0] ?? fileURLToPath(new URL("../../dapr.yaml", import.meta.url)));
  const settings = readSettings(suite.root);
  if (values.azure) await signIn(settings);
  await runSuite(values.azure ? withoutStandIn(suite) : suite, settings);
} catch (error) {
  if (!interrupted.aborted) {
    console.error(`\n${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
} finally {
  if (apps.length > 0) console.log("\nStopping everything …");
  // Apps first, because they need their sidecars to finish requests in flight.
  await stop(servers(), appGraceMs);
  await stop(sidecars(), sidecarGraceMs);
  if (apps.length > 0) console.log("Stopped.");
}

/** Never resolves; rejects when the start fails, a process ends or the user interrupts. */
async function runSuite(suite: Suite, settings: Settings): Promise<never> {
  await refuseTakenPorts(suite);
  mkdirSync(join(suite.root, "data"), { recursive: true });
  createNamesFile(join(suite.root, "data/names.db"));
  const daprd = await findDaprd({ signal: interrupted });
  interrupted.throwIfAborted();

  console.log(`Sidecar: ${daprd}`);
  console.log(`Starting ${suite.apps.map(({ appID }) => appID).join(", ")} …\n`);
  const startedAt = performance.now();
  apps = await startApps(suite, daprd, settings);
  const ending = Promise.race([rejectOnInterrupt(), ...[...servers(), ...sidecars()].map(rejectAtEnd)]);
  // Sidecars first, because an app may not be ready before its sidecar.
  await Promise.race([waitForAll(sidecars()), ending]);
  await Promise.race([waitForAll(servers()), ending]);
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const table = await Promise.race([renderTable(suite, apps), ending]);
  console.log(`\nReady after ${seconds} s.\n${table}`);
  return ending;
}

function rejectOnInterrupt(): Promise<never> {
  return new Promise((_, reject) => {
    if (interrupted.aborted) reject(interrupted.reason);
    interrupted.addEventListener("abort", () => reject(interrupted.reason));
  });
}

async function waitForAll(processes: readonly Running<Server>[]): Promise<void> {
  await Promise.all(processes.map((each) => waitUntilReady(each, { timeoutMs: readyTimeoutMs, signal: interrupted })));
}
