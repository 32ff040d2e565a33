// What the images hold: each program as one file of JavaScript, with its source map. `node tools/bundle/bundle.ts FOLDER`
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
    "cosmos-stand-in": "test/simulators/cosmos/server.ts",
    "cosmos-check": "tools/cosmos-check/cosmos-check.ts",
  },
  outdir: folder,
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  format: "esm",
  target: `node${process.versions.node}`,
  // Packages in CommonJS require Node's own modules.
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
  },
  sourcemap: true,
  sourcesContent: false, // a stack trace needs names and lines only
  legalComments: "none",
  logLevel: "warning",
});
