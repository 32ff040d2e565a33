// The keys of the Azure stand-in: a private CA, a server certificate for this machine, and the key that signs tokens.
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { composeHost } from "./defaults.ts";

export interface Keys {
  /** PEM file with the CA's certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
  /** PEM, as are the fields below. */
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  readonly tokenKey: string;
}

const defaultFolder = fileURLToPath(new URL("../../data/stand-ins/azure", import.meta.url));
const lifetimeMs = 365 * 86_400_000;
/** Keys are renewed when less of their lifetime is left, so that they do not expire while a process uses them. */
const reserveMs = 7 * 86_400_000;

/**
 * Reads the keys in `folder`. Creates them if they are missing, incomplete or about to expire. Processes that start at
 * the same time get the same keys: a rename publishes the complete folder, and the later processes read that folder.
 */
export async function loadKeys(folder = defaultFolder): Promise<Keys> {
  const known = read(folder);
  if (known) return known;
  const isUnusable = existsSync(folder);
  mkdirSync(dirname(folder), { recursive: true });
  const created = mkdtempSync(`${folder}.`);
  const old = mkdtempSync(`${folder}.`);
  try {
    await write(created);
    if (isUnusable && !read(folder)) renameSync(folder, join(old, "unusable"));
    renameSync(created, folder);
  } catch (error) {
    if (!read(folder)) throw error;
  } finally {
    rmSync(created, { recursive: true, force: true });
    rmSync(old, { recursive: true, force: true });
  }
  const keys = read(folder);
  if (!keys) throw new Error(`Another process has changed ${folder}. Retry.`);
  return keys;
}

function read(folder: string): Keys | undefined {
  const caFile = join(folder, "ca.pem");
  try {
    const text = (name: string) => readFileSync(join(folder, name), "utf8");
    const keys = {
      caFile,
      ca: text("ca.pem"),
      cert: text("cert.pem"),
      key: text("key.pem"),
      tokenKey: text("token-key.pem"),
    };
    const cert = new X509Certificate(keys.cert);
    const usable =
      cert.validToDate.getTime() - Date.now() > reserveMs && cert.verify(new X509Certificate(keys.ca).publicKey);
    return usable ? keys : undefined;
  } catch {
    return undefined; // missing or broken, so new keys are needed
  }
}

async function write(folder: string): Promise<void> {
  const server = await issue("Azure stand-in", { from: new Date(), to: new Date(Date.now() + lifetimeMs) }, [
    { type: 2, value: "localhost" },
    { type: 2, value: composeHost },
    { type: 7, ip: "127.0.0.1" },
  ]);
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  writeFileSync(join(folder, "ca.pem"), server.ca);
  writeFileSync(join(folder, "cert.pem"), server.cert);
  writeFileSync(join(folder, "key.pem"), server.key, { mode: 0o600 });
  writeFileSync(join(folder, "token-key.pem"), privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600 });
}

/**
 * Creates a CA, and a certificate that it signs. The private key of the CA is discarded, so nobody can issue another
 * certificate that clients of this CA would trust.
 */
export async function issue(
  name: string,
  { from, to }: { readonly from: Date; readonly to: Date },
  altNames: ({ type: 2; value: string } | { type: 7; ip: string })[],
): Promise<Pick<Keys, "ca" | "cert" | "key">> {
  const { generate } = await import("selfsigned"); // loaded on demand, because it is needed once a year
  const common = { keyType: "ec", algorithm: "sha256", notBeforeDate: from, notAfterDate: to } as const;
  const ca = await generate([{ name: "commonName", value: `${name} CA` }], {
    ...common,
    extensions: [
      { name: "basicConstraints", cA: true, pathLenConstraint: 0, critical: true },
      { name: "keyUsage", keyCertSign: true, critical: true },
    ],
  });
  const server = await generate([{ name: "commonName", value: name }], {
    ...common,
    ca: { key: ca.private, cert: ca.cert },
    extensions: [
      { name: "basicConstraints", cA: false, critical: true },
      { name: "keyUsage", digitalSignature: true, critical: true },
      { name: "extKeyUsage", serverAuth: true },
      { name: "subjectAltName", altNames },
    ],
  });
  return { ca: ca.cert, cert: server.cert, key: server.private };
}
