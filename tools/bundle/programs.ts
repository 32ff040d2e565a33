// The programs that have an image, and how each is bundled.
import { fileURLToPath } from "node:url";
import type { BuildOptions } from "esbuild";

export interface Program {
  readonly name: string;
  readonly source: string;
  /** Files and folders that the program reads at run time, and their paths beside its file. */
  readonly assets?: Readonly<Record<string, string>>;
  /** Folders of packages that a file of `assets` contains in a compiled form. */
  readonly inAssets?: readonly string[];
}

const programs: readonly Program[] = [
  { name: "state-api", source: "services/state-api/server.ts" },
  { name: "group-lister", source: "services/group-lister/server.ts" },
  {
    name: "welcome",
    source: "services/welcome/server.ts",
    assets: {
      "services/welcome/page": "page",
      "node_modules/@azure/msal-browser/lib/msal-browser.min.js": "page/msal-browser/lib/msal-browser.min.js",
      "node_modules/@azure/msal-browser/LICENSE": "page/msal-browser/LICENSE",
    },
    inAssets: ["node_modules/@azure/msal-browser", "node_modules/@azure/msal-common"],
  },
  {
    name: "hello-wasm",
    source: "services/hello-wasm/server.ts",
    assets: {
      "services/hello-wasm/hello.wasm": "hello.wasm",
      // The program starts threads with these files. Node strips their types.
      "services/hello-wasm/worker.ts": "worker.ts",
      "services/hello-wasm/wasi.ts": "wasi.ts",
    },
    inAssets: ["node_modules/assemblyscript"], // its runtime is part of hello.wasm
  },
  { name: "azure-stand-in", source: "stand-ins/azure/server.ts" },
  { name: "cosmos-check", source: "tools/cosmos-check/cosmos-check.ts" },
];

export const programNames = programs.map(({ name }) => name);
export const root = fileURLToPath(new URL("../..", import.meta.url));

/** Reads the arguments SERVICE FOLDER of a command. Ends the process with a message when one is missing or unknown. */
export function readArguments(): { program: Program; folder: string } {
  const [name = "", folder = ""] = process.argv.slice(2);
  const program = programs.find((known) => known.name === name);
  if (program === undefined || folder === "") {
    const fault =
      name === "" ? "SERVICE is missing" : folder === "" ? "FOLDER is missing" : `SERVICE=${name} is unknown`;
    console.error(`${fault}. Build with --build-arg SERVICE=NAME, where NAME is one of: ${programNames.join(", ")}`);
    process.exit(1);
  }
  return { program, folder };
}

/** Options that bundle a program as one JavaScript file with a source map: main.mjs in the folder. */
export function describeBundle(program: Program, folder: string) {
  return {
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
    legalComments: "none", // the notices of sbom.ts have them
    logLevel: "warning",
  } satisfies BuildOptions;
}
