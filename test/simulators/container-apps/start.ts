// `npm run simulate` runs welcome on simulated Container Apps, with users, in fast motion: for trying `npm run release`
// without Azure. Ctrl-C ends it.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadKeys } from "../../../stand-ins/azure/certificate.ts";

const usage = `Usage: npm run simulate -- [--speed 60] [--rate 10] [--image IMAGE]

  --speed  how many times as fast as usual the time runs
  --rate   requests of users in a second of that time
  --image  of the revision that is live
`;

const { speed, rate, image } = readOptions();
const keys = await loadKeys(); // before the time runs faster, so that a new certificate is valid now
const clock = `${Date.now()}:${speed}`;
process.env.SIMULATOR_CLOCK = clock;
const preload = new URL("fast-clock.mjs", import.meta.url);
await import(preload.href);

const { setTimeout: sleep } = await import("node:timers/promises");
const { startDataPlane } = await import("./data-plane.ts");
const { createPool } = await import("./processes.ts");
const { serveSimulator } = await import("./serve.ts");
const { variantNames } = await import("./variants.ts");
const { startLoad } = await import("./load.ts");

const pool = createPool({ keeps: false });
const plane = await startDataPlane({
  pool,
  image,
  clock: { now: Date.now, sleep: (milliseconds) => sleep(milliseconds) },
  pause: (milliseconds) => sleep(milliseconds),
});
const served = await serveSimulator(plane.simulator);
const folder = mkdtempSync(join(tmpdir(), "container-apps-simulator-"));
const caFile = join(folder, "ca.pem");
const variablesFile = join(folder, "variables.sh");
writeFileSync(caFile, `${keys.ca}\n${plane.ca}\n`);
const address = `https://welcome.${plane.domain}`;

// An hour of requests, so that a plan knows the traffic.
const [first] = plane.simulator.app.revisions;
for (let at = Date.now() - 3_600_000; at < Date.now() && first; at += 60_000) {
  const common = { revision: first.name, authority: address, userAgent: "load" };
  plane.simulator.requests.add({ ...common, at, status: 200, duration: 3, count: rate * 60 });
}

const variables = {
  ...served.env,
  NODE_EXTRA_CA_CERTS: caFile,
  SIMULATOR_CLOCK: clock,
  NODE_OPTIONS: `--import=${preload.href}`,
};
const lines = Object.entries(variables).map(([name, value]) => `export ${name}='${value}'\n`);
writeFileSync(variablesFile, lines.join(""));
console.log(`welcome runs at ${address}, ${rate} requests a second, ${speed} times as fast as usual.
Open a second terminal in this folder, and paste this line, which connects it to the simulator:

. ${variablesFile}

Release registry.example/welcome:2.0.0 there. The end of the tag says how a version behaves: ${variantNames
  .map((name) => `2.0.0-${name}`)
  .join(", ")}.
Only test/simulators/container-apps/release.yaml has a check that sees 2.0.0-slow.
Ctrl-C ends the simulator. Then close the second terminal: its time and its addresses are those of the simulator.

The responses, by revision and status:
`);

const counts = new Map<string, number>();
plane.onResponse = ({ status, revision = "no revision" }) => {
  const key = `${revision} ${status}`;
  counts.set(key, (counts.get(key) ?? 0) + 1);
};
const load = startLoad(address, plane.ca, rate * speed);
const parent = process.ppid;
let drawn = 0;
const timer = setInterval(() => {
  if (process.ppid !== parent) return void end(); // npm has ended, and its shell passes no signal on
  const shown = [...counts].toSorted().map(([key, count]) => `${key.padEnd(32)} ${String(count).padStart(8)}`);
  const weights = Object.entries(plane.simulator.weights()).map(([revision, weight]) => `${revision} ${weight} %`);
  shown.push(`${new Date().toISOString().slice(0, 19)}Z  ${weights.join(", ")}`);
  if (process.stdout.isTTY && drawn > 0) process.stdout.write(`\x1b[${drawn}A\x1b[J`);
  console.log(shown.join("\n"));
  drawn = shown.length;
}, 1_000);

let isEnding = false;
async function end(): Promise<void> {
  // After Ctrl-C, the signal comes from the terminal and again from npm.
  if (isEnding) return;
  isEnding = true;
  load.stop();
  clearInterval(timer);
  await Promise.all([served.close(), plane.close()]);
  await pool.close();
  rmSync(folder, { recursive: true });
}
// SIGHUP: the terminal was closed, so nothing can be printed any more.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, end);
process.stdout.on("error", end);

function readOptions(): { speed: number; rate: number; image: string } {
  try {
    const { values } = parseArgs({
      options: {
        speed: { type: "string", default: "60" },
        rate: { type: "string", default: "10" },
        image: { type: "string", default: "registry.example/welcome:1.0.0" },
      },
    });
    const [speed, rate] = [Number(values.speed), Number(values.rate)];
    if (!(speed >= 1 && speed <= 1_000 && rate >= 0 && rate * speed <= 2_000)) {
      throw new Error("--speed is from 1 to 1000, and --rate times --speed at most 2000.");
    }
    return { speed, rate, image: values.image };
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    process.exit(1);
  }
}
