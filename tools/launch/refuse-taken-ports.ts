import { findPortOwner, isFree } from "../processes/ports.ts";
import { listPorts, type Suite } from "./template.ts";

/** @throws Error that names every port of the suite that is taken, and by which process */
export async function refuseTakenPorts(suite: Suite): Promise<void> {
  const faults: string[] = [];
  const purposes = new Map<number, string>();
  for (const { port, purpose } of listPorts(suite)) {
    const other = purposes.get(port);
    if (other) faults.push(`Port ${port} occurs twice in dapr.yaml: ${other}; ${purpose}.`);
    purposes.set(port, purpose);
    if (await isFree(port)) continue;
    const owner = findPortOwner(port);
    const holder = owner ? `process ${owner.pid}: ${owner.command.slice(0, 100)}` : "an unknown process";
    faults.push(`Port ${port} (${purpose}) is taken by ${holder}`);
  }
  if (faults.length === 0) return;
  throw new Error(`Nothing was started.\n${faults.join("\n")}\nEnd those processes, or set other ports in dapr.yaml.`);
}
