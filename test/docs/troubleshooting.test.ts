// docs/troubleshooting.md quotes messages. Those that this suite prints have to be in its sources.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../support/processes.ts";

const entries = readFileSync(join(root, "docs/troubleshooting.md"), "utf8")
  .split(/^### /m)
  .slice(1)
  .map((text) => ({
    text,
    number: Number.parseInt(text, 10),
    message: /^\d+\. `(.+)`\n/.exec(text)?.[1] ?? "",
    isForeign: /\n\*\*Printed by\*\* (Azure|Cosmos DB|Kubernetes),/.test(text),
  }));

const sources = execFileSync("git", ["ls-files", "services/**.ts", "tools/**.ts", "tools/**.mjs"], { cwd: root })
  .toString()
  .trim()
  .split("\n")
  // Long messages are concatenated from several literals.
  .map((file) => readFileSync(join(root, file), "utf8").replaceAll(/["'`]\s*\+\s*["'`]/g, ""));

describe("docs/troubleshooting.md", () => {
  test("has twenty numbered entries, each with a message, who prints it, a cause and a fix", () => {
    expect(entries.map(({ number }) => number)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1));
    for (const { text, message } of entries) {
      expect(message, text).not.toBe("");
      expect(text).toMatch(/\n\*\*Printed by\*\* .*\n\*\*Cause\.\*\* .*\n\*\*Fix\.\*\* /s);
    }
  });

  test.each(entries.filter(({ isForeign }) => !isForeign))(
    "quotes a message of the sources: $message",
    ({ message }) => {
      const parts = message.split("…").map((part) => RegExp.escape(part));
      const pattern = new RegExp(parts.join("[^\\n]*?"));
      expect(sources.some((source) => pattern.test(source))).toBe(true);
    },
  );
});
