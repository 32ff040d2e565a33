// `npm run bench`: measures each service against its rivals: state-api against the bare sidecar and a plain SDK
// service. Compare only rows of the same run: the machine's own speed cancels out in their ratios.
import { stop } from "../tools/processes/process.ts";
import { measure, measureStart, residentMiB } from "./measure.ts";
import { measureParsing } from "./parsing.ts";
import { printReleases } from "./release/tables.ts";
import { report } from "./report.ts";
import { createResults } from "./results.ts";
import { listTargets, operations } from "./rivals.ts";
import { startServers } from "./servers.ts";

const ROUNDS = 5;

const { sidecar, services } = await startServers();
const results = createResults();
for (const connections of [32, 1]) {
  for (const operation of operations) {
    const targets = listTargets(operation);
    const names = targets.map(({ rival }) => rival).join(", ");
    process.stderr.write(`${operation}, ${connections} at a time: ${ROUNDS} rounds of ${names}\n`);
    for (let round = 0; round < ROUNDS; round++) {
      // Each round starts with another rival, so that neither the order nor a slow moment favors one of them.
      const first = round % targets.length;
      for (const { rival, target } of [...targets.slice(first), ...targets.slice(0, first)]) {
        const row = await measure(target, connections, services[rival], sidecar);
        results.find(connections, operation, rival).push(row);
      }
    }
  }
}
const memory = {
  service: services["state-api"] ? residentMiB(services["state-api"]) : Number.NaN,
  sidecar: residentMiB(sidecar),
};
await stop(Object.values(services), 10_000);

const startTimes: Record<string, number> = {};
for (const app of ["state-api", "group-lister", "welcome", "hello-wasm"]) startTimes[app] = await measureStart(app);
report({ results, startTimes, memory, parsing: measureParsing() });
printReleases();
process.exit(0);
