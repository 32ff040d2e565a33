// `npm run bench`: measures each service against its rivals: state-api against the bare sidecar and a plain SDK
// service. Compare only rows of the same run: the machine's own speed cancels out in their ratios.
import { stop } from "../tools/processes/process.ts";
import { measure, measureStart, residentMiB } from "./measure.ts";
import { readOptions } from "./options.ts";
import { measureParsing } from "./parsing.ts";
import { createRandom } from "./release/random.ts";
import { printReleases } from "./release/tables.ts";
import { report } from "./report.ts";
import { createResults } from "./results.ts";
import { listTargets, operations } from "./rivals.ts";
import { startServers } from "./servers.ts";
import { shuffle } from "./shuffle.ts";

const options = readOptions();
const { rounds, seed, starts } = options;
const random = createRandom(seed);

const { sidecar, services } = await startServers();
const results = createResults();
for (const connections of [32, 1]) {
  for (const operation of operations) {
    const targets = listTargets(operation);
    for (const { rival } of targets) results.find(connections, operation, rival); // the order of the report
    for (let round = 1; round <= rounds; round++) {
      // In random order, so that neither a fixed order nor a slow moment favors one of them.
      const turns = shuffle(targets, random);
      const names = turns.map(({ rival }) => rival).join(", ");
      process.stderr.write(`${operation}, ${connections} at a time, round ${round}: ${names}\n`);
      for (const { rival, target } of turns) {
        const row = await measure(target, connections, services[rival], sidecar, options);
        results.find(connections, operation, rival).push(row);
        if (row.failures > 0) process.stderr.write(`${rival}: ${row.failures} failures, one of them: ${row.failure}\n`);
      }
    }
  }
}
const memory = {
  service: services["state-api"] ? residentMiB(services["state-api"]) : Number.NaN,
  sidecar: residentMiB(sidecar),
};
await stop([...Object.values(services), sidecar], 10_000);

const startTimes: Record<string, number> = {};
for (const app of ["state-api", "group-lister", "welcome", "hello-wasm"]) {
  startTimes[app] = await measureStart(app, starts);
}
report({ results, startTimes, memory, parsing: measureParsing(options.parseRounds, random), options });
printReleases(options.releases);
process.exit(0);
