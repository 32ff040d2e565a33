// Lets this process find NAME.localhost on loopback, as browsers and curl do (RFC 6761 §6.3), and not every system.
// Plain JavaScript, because npm loads it, too: fast-clock.mjs.
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";

const { lookup } = dns;

Object.assign(dns, {
  /** @type {(name: string, ...others: unknown[]) => unknown} */
  lookup: (name, ...others) =>
    Reflect.apply(lookup, dns, [name.endsWith(".localhost") ? "127.0.0.1" : name, ...others]),
});
syncBuiltinESMExports();
