// Bundles a program for its image as one JavaScript file with a source map: main.mjs in the given folder.
// The Dockerfile runs it: node tools/bundle/bundle.ts PROGRAM FOLDER
import { cpSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

interface Program {
  readonly source: string;
  /** Files and folders that the program reads at run time, and their paths beside its file. */
  readonly assets?: Readonly<Record<string, string>>;
}

const programs = new Map<string, Program>([
  ["state-api", { source: "services/state-api/server.ts" }],
  ["group-lister", { source: "services/group-lister/server.ts" }],
  [
    "welcome",
    {
      source: "services/welcome/server.ts",
      assets: {
        "services/welcome/page": "page",
        "node_modules/@azure/msal-browser/lib/msal-browser.min.js": "page/msal-browser/lib/msal-browser.min.js",
        "node_modules/@azure/msal-browser/LICENSE": "page/msal-browser/LICENSE",
      },
    },
  ],
  ["azure-stand-in", { source: "stand-ins/azure/server.ts" }],
  ["cosmos-check", { source: "tools/cosmos-check/cosmos-check.ts" }],
]);

const root = fileURLToPath(new URL("../..", import.meta.url));
const [name = "", folder = ""] = process.argv.slice(2);
const program = programs.get(name);
if (program === undefined || folder === "") {
  const fault = name === "" ? "SERVICE is missing" : `SERVICE=${name} is unknown`;
  console.error(
    `${fault}. Build with --build-arg SERVICE=NAME, where NAME is one of: ${[...programs.keys()].join(", ")}`,
  );
  process.exit(1);
}

await build({
  absWorkingDir: root,
  entryPoints: { main: program.source },
  outdir: folder,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: `node${process.versions.node}`,
  // CommonJS packages call require() for the modules of Node.
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
  },
  sourcemap: true,
  sourcesContent: false, // stack traces need only names and lines
  legalComments: "none",
  logLevel: "warning",
});
for (const [asset, path] of Object.entries(program.assets ?? {})) {
  cpSync(join(root, asset), join(folder, path), { recursive: true });
}
