import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listPorts, readTemplate } from "../../tools/launch/template.ts";
import { freePorts, patience, RESILIENCY, root, withPatience } from "./processes.ts";

/** Copies the files that git tracks or would track, with uncommitted changes, but no ignored files such as .env. */
export function copyRepository(folder: string): void {
  const listed = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root });
  const files = listed.toString().split("\0").filter(Boolean);
  for (const file of files) if (existsSync(join(root, file))) cpSync(join(root, file), join(folder, file));
}

/**
 * Copies the repository to run `npm start` in: it shares the node_modules of this repository, and every port in
 * dapr.yaml is replaced by a free one. The timeouts, in `.env` and in the resiliency policy, are those of `patience`.
 * Returns the free ports by the ports that they replace.
 */
export async function copyRunnableRepository(folder: string): Promise<Map<string, string>> {
  // Otherwise the copy's `npm start` would install into the node_modules that it shares with this run.
  const lock = createHash("sha256")
    .update(readFileSync(join(root, "package-lock.json")))
    .digest("hex");
  if (!readFileSync(join(root, "node_modules/.setup"), "utf8").startsWith(lock)) {
    throw new Error("The packages are not those of package-lock.json. Run: node tools/setup.mjs");
  }
  copyRepository(folder);
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const file = join(folder, "dapr.yaml");
  const taken = listPorts(readTemplate(file)).map(({ port }) => `${port}`);
  const free = await freePorts(taken.length);
  const ports = new Map(taken.map((port, index) => [port, `${free[index]}`]));
  writeFileSync(
    file,
    readFileSync(file, "utf8").replaceAll(/\d+/g, (number) => ports.get(number) ?? number),
  );
  const policy = join(folder, RESILIENCY);
  writeFileSync(policy, withPatience(readFileSync(policy, "utf8")));
  const settings = Object.entries(patience).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(join(folder, ".env"), settings.join(""));
  return ports;
}
