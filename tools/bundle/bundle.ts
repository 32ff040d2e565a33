// Bundles each program for its image as one JavaScript file with a source map: `node tools/bundle/bundle.ts FOLDER`
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const [folder] = process.argv.slice(2);
if (!folder) throw new Error("usage: node tools/bundle/bundle.ts FOLDER");

await build({
  absWorkingDir: fileURLToPath(new URL("../..", import.meta.url)),
  entryPoints: {
    "state-api": "services/state-api/server.ts",
    "group-lister": "services/group-lister/server.ts",
    welcome: "services/welcome/server.ts",
    "azure-stand-in": "stand-ins/azure/server.ts",
    "cosmos-check": "tools/cosmos-check/cosmos-check.ts",
  },
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
