import { open } from "node:fs/promises";
import { basename } from "node:path";
import type { SecretStatus } from "./api.ts";

/**
 * Reports in which form a secret arrived, without its value. The Secrets Store CSI driver mounts the secret as a file
 * and syncs it to a Kubernetes Secret, whose value the process received as an environment variable when it started.
 * https://secrets-store-csi-driver.sigs.k8s.io/topics/secret-auto-rotation
 */
export async function inspectSecret(file: string, variable: string): Promise<SecretStatus> {
  const name = basename(file);
  const synced = variable === "" ? undefined : { bytes: Buffer.byteLength(variable) };
  try {
    await using handle = await open(file);
    const { mtimeMs } = await handle.stat();
    const value = await handle.readFile();
    const mounted = { bytes: value.length, ageSeconds: Math.max(0, Math.round((Date.now() - mtimeMs) / 1000)) };
    return { name, mounted, synced, restartNeeded: synced !== undefined && !value.equals(Buffer.from(variable)) };
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    return { name, notMounted: String(error.code), synced, restartNeeded: false };
  }
}
