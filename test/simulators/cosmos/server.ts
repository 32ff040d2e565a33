// Runs an empty simulator as a process, on the emulator's port and with the emulator's key:
// node test/simulators/cosmos/server.ts
// LATENCY_MS delays the effect of every request.
import { startCosmosSimulator } from "./simulator.ts";

const simulator = await startCosmosSimulator({
  ...(process.env.HOST ? { host: process.env.HOST } : {}),
  port: Number(process.env.PORT ?? 8081),
});
simulator.latencyMs = Number(process.env.LATENCY_MS ?? 0);
console.log(`Cosmos DB simulator, empty, with the emulator's key: ${simulator.url}`);
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void simulator.close());
