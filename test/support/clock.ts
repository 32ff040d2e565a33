// `node --import ./test/support/clock.ts …`: SIGUSR2 puts the process's clock forward by six minutes.
const { now } = Date;
let forward = 0;
Date.now = () => now() + forward;
globalThis.Date = new Proxy(Date, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length > 0 ? args : [Date.now()], newTarget),
});
process.on("SIGUSR2", () => {
  forward += 6 * 60_000;
});
