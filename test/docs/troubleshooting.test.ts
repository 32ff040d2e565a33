// docs/troubleshooting.md quotes messages. Those that this suite prints have to be in its sources.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../support/processes.ts";

const page = readFileSync(join(root, "docs/troubleshooting.md"), "utf8");
const entries = page
  .split(/^### /m)
  .slice(1)
  .map((text) => ({
    text,
    number: Number.parseInt(text, 10),
    message: /^\d+\. `(.+)`\n/.exec(text)?.[1] ?? "",
    printer: /\n\*\*Printed by\*\* (Azure|azd|Bicep|Cosmos DB|Kubernetes)\b/.exec(text)?.[1] ?? "the suite",
  }));

const sources = execFileSync("git", ["ls-files", "services/**.ts", "tools/**.ts", "tools/**.mjs", "infra/azd/**.sh"], {
  cwd: root,
})
  .toString()
  .trim()
  .split("\n")
  // Long messages are concatenated from several literals.
  .map((file) => readFileSync(join(root, file), "utf8").replaceAll(/["'`]\s*\+\s*["'`]/g, ""));

describe("docs/troubleshooting.md", () => {
  test("has numbered entries, each with a message, who prints it, a cause and a fix", () => {
    expect(entries.length).toBeGreaterThan(30);
    expect(entries.map(({ number }) => number)).toEqual(entries.map((_, index) => index + 1));
    for (const { text, message } of entries) {
      expect(message, text).not.toBe("");
      expect(text).toMatch(/\n\*\*Printed by\*\* .*\n\*\*Cause\.\*\* .*\n\*\*Fix\.\*\* /s);
    }
  });

  test("its first table has the number of every entry", () => {
    const rows = [...page.matchAll(/^\| .* \| (\d+)(?: (?:to|and) (\d+))? \|$/gm)];
    const listed = rows.flatMap(([, first = 0, last = first]) =>
      Array.from({ length: Number(last) - Number(first) + 1 }, (_, index) => Number(first) + index),
    );
    expect(listed).toEqual(entries.map(({ number }) => number));
  });

  // No test meets the real Azure: a link says where the wording is from.
  test.each(entries.filter(({ printer }) => printer === "Azure"))(
    "links a page or an issue where Azure's message is quoted or explained: $message",
    ({ text }) => {
      expect(text).toMatch(/\*\*Printed by\*\* [^*]*\(https:\/\/[^)]+\)/);
    },
  );

  test.each(entries.filter(({ printer }) => printer === "the suite"))(
    "quotes a message of the sources: $message",
    ({ message }) => {
      const parts = message.split("…").map((part) => RegExp.escape(part));
      const pattern = new RegExp(parts.join("[^\\n]*?"));
      expect(sources.some((source) => pattern.test(source))).toBe(true);
    },
  );
});
