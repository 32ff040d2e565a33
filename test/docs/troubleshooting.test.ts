// docs/troubleshooting.md quotes messages. Those of our own code have to be in the source file that the entry names.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { root } from "../support/processes.ts";

const read = (path: string) => readFileSync(join(root, path), "utf8");

/** An entry is a heading with the message in backticks; "From [file](../file)." names the source of a message of ours. */
const entries = read("docs/troubleshooting.md")
  .split(/^### /m)
  .slice(1)
  .map((entry) => ({
    message: /^`(.+)`\n/.exec(entry)?.[1] ?? "",
    source: /^From \[[^\]]+\]\(\.\.\/([^)]+)\)/m.exec(entry)?.[1] ?? "",
    entry,
  }));

describe("docs/troubleshooting.md", () => {
  test("has twenty entries, each with a cause and a fix", () => {
    expect(entries).toHaveLength(20);
    for (const { entry } of entries) expect(entry).toMatch(/\n\*\*Cause\.\*\* [^]*\n\*\*Fix\.\*\* /);
  });

  test.each(entries.filter(({ source }) => source !== ""))("$source has the message: $message", ({ message, source }) => {
    expect(message).not.toBe("");
    // Long messages are concatenated from several literals.
    const text = read(source).replaceAll(/["'`]\s*\+\s*["'`]/g, "");
    const parts = message.split("…").map((part) => RegExp.escape(part));
    expect(text).toMatch(new RegExp(parts.join("[^\\n]*?")));
  });
});
