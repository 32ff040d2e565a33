// `NODE_OPTIONS=--import=…/fast-clock.mjs` with SIMULATOR_CLOCK=START:SPEED: from START (milliseconds since 1970), the
// time of this process runs SPEED times as fast, for `Date` and for `setTimeout` of node:timers/promises. The global
// setTimeout stays as it is, because timeouts of requests use it. Plain JavaScript for any Node: npm loads it, too.
import { syncBuiltinESMExports } from "node:module";
import timers from "node:timers/promises";
import "./localhost.mjs";

const [start = Number.NaN, speed = Number.NaN] = (process.env.SIMULATOR_CLOCK ?? "").split(":").map(Number);
if (!(start > 0 && speed > 0)) throw new Error("SIMULATOR_CLOCK must be START:SPEED; start.ts prints it.");

const RealDate = Date;
const now = () => start + (RealDate.now() - start) * speed;

globalThis.Date = new Proxy(RealDate, {
  construct: (target, args, newTarget) => Reflect.construct(target, args.length === 0 ? [now()] : args, newTarget),
  apply: () => new RealDate(now()).toString(),
  get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
});

const { setTimeout: sleep } = timers;
Object.assign(timers, {
  /** @type {typeof sleep} */
  setTimeout: (milliseconds = 0, value = undefined, options = undefined) => sleep(milliseconds / speed, value, options),
});
syncBuiltinESMExports();
