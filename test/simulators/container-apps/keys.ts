// A certificate for the addresses of the apps: *.simulator.localhost.
import { issue, type Keys } from "../../../stand-ins/azure/certificate.ts";

type IngressKeys = Pick<Keys, "ca" | "cert" | "key">;

/** Of the addresses, before the port. */
export const suffix = "simulator.localhost";
const day = 86_400_000;

let keys: Promise<IngressKeys> | undefined;

/** One certificate for the life of the process. */
export function loadIngressKeys(): Promise<IngressKeys> {
  // OpenSSL checks these with the real time, which fast-clock.mjs leaves behind.
  const validity = { from: new Date(Date.now() - day), to: new Date(Date.now() + 7 * day) };
  keys ??= issue("Container Apps simulator", validity, [{ type: 2, value: `*.${suffix}` }]);
  return keys;
}
