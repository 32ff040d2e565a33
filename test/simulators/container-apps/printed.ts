// What start.ts prints, for tests that follow it.
import { readFileSync } from "node:fs";

/** The variables that the printed line sets in a shell. */
export function readVariables(output: string): Record<string, string> {
  const [, file = ""] = /^\. (\S+)$/m.exec(output) ?? [];
  const exports = readFileSync(file, "utf8").matchAll(/^export (\w+)='(.+)'$/gm);
  return Object.fromEntries([...exports].map(([, name = "", value = ""]) => [name, value]));
}
