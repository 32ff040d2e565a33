// Lets this process find NAME.localhost on loopback, as browsers and curl do (RFC 6761 §6.3), and not every system.
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";

const { lookup } = dns;

Object.assign(dns, {
  lookup: (name: string, ...others: unknown[]) =>
    Reflect.apply(lookup, dns, [name.endsWith(".localhost") ? "127.0.0.1" : name, ...others]),
});
syncBuiltinESMExports();
