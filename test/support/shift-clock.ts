// `node --import ./test/support/shift-clock.ts …`: SIGUSR2 moves the clock of the process six minutes ahead, and the
// process prints a line.

process.once("SIGUSR2", () => {
  const readClock = Date.now;
  Date.now = () => readClock() + 6 * 60_000;
  globalThis.Date = new Proxy(Date, {
    construct: (target, args, newTarget) => Reflect.construct(target, args.length ? args : [Date.now()], newTarget),
  });
  console.log('{"msg":"the clock is six minutes ahead"}');
});
