// Bundles a program for its image, with the files that it reads, into the given folder.
// The Dockerfile runs it: node tools/bundle/bundle.ts PROGRAM FOLDER
import { cpSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { describeBundle, readArguments, root } from "./programs.ts";

const { program, folder } = readArguments();
await build(describeBundle(program, folder));
for (const [asset, path] of Object.entries(program.assets ?? {})) {
  cpSync(join(root, asset), join(folder, path), { recursive: true });
}
