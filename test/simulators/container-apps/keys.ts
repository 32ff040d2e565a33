// A certificate for the addresses of the apps: *.simulator.localhost.
import { generate } from "selfsigned";

/** PEM. */
export interface IngressKeys {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

export async function createKeys(domain: string): Promise<IngressKeys> {
  const common = { keyType: "ec", algorithm: "sha256", notAfterDate: new Date(Date.now() + 7 * 86_400_000) } as const;
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
      { name: "subjectAltName", altNames: [{ type: 2, value: `*.${domain}` }] },
    ],
  });
  return { ca: ca.cert, cert: server.cert, key: server.private };
}
