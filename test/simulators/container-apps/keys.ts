// A certificate for the addresses of the apps: *.simulator.localhost.
import { generate } from "selfsigned";

/** PEM. */
interface IngressKeys {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Of the addresses, before the port. */
export const suffix = "simulator.localhost";
const day = 86_400_000;

let keys: Promise<IngressKeys> | undefined;

/** One certificate for the life of the process. */
export function loadIngressKeys(): Promise<IngressKeys> {
  keys ??= create();
  return keys;
}

async function create(): Promise<IngressKeys> {
  // OpenSSL checks these with the real time, which fast-clock.mjs leaves behind.
  const notBeforeDate = new Date(Date.now() - day);
  const common = {
    keyType: "ec",
    algorithm: "sha256",
    notBeforeDate,
    notAfterDate: new Date(Date.now() + 7 * day),
  } as const;
  const ca = await generate([{ name: "commonName", value: "Container Apps simulator CA" }], {
    ...common,
    extensions: [
      { name: "basicConstraints", cA: true, critical: true },
      { name: "keyUsage", keyCertSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: "commonName", value: "Container Apps simulator" }], {
    ...common,
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames: [{ type: 2, value: `*.${suffix}` }] },
    ],
  });
  return { ca: ca.cert, cert: server.cert, key: server.private };
}
