// `node --import ./test/support/shift-clock.ts …`: SIGUSR2 moves the process's clock six minutes ahead and stops it
// there.
import { mock } from "node:test";

process.once("SIGUSR2", () => mock.timers.enable({ apis: ["Date"], now: Date.now() + 6 * 60_000 }));
