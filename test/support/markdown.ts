import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./processes.ts";

/** A block of shell commands on a page, with its expected output. */
export interface Block {
  readonly command: string;
  /** See `toPattern`. */
  readonly output: string | undefined;
}

/**
 * Reads the ```sh blocks of a page, each with the ```text block right after it. The indentation of a block in a list is
 * removed, as GitHub does when a reader copies it.
 */
export function readBlocks(page: string): Block[] {
  const fenced = /^( *)```sh\n(.*?)```(?:\n *```text\n(.*?)```)?/gms;
  return [...readFileSync(join(root, page), "utf8").matchAll(fenced)].map(([, indent = "", command = "", output]) => {
    const outdent = (text: string) => text.replaceAll(new RegExp(`^${indent}`, "gm"), "");
    return { command: outdent(command).trim(), output: output && outdent(output) };
  });
}

/** A pattern for the whole of a trimmed output. Each … of the block matches any text. */
export function toPattern(output: string): RegExp {
  return new RegExp(`^${output.trim().split("…").map(RegExp.escape).join("[^]*?")}$`);
}
