import { execFile, execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { identityHeader } from "../../stand-ins/azure/defaults.ts";
import type { Azure } from "../../stand-ins/azure/start.ts";
import { shortRun } from "./bicep.ts";
import { root } from "./processes.ts";
import { findPythonWith, readVersion } from "./python-tools.ts";

const execute = promisify(execFile);

/** Returns the Python that can import the Azure CLI. */
export function findAzPython(): Promise<string> {
  return findPythonWith("azure-cli");
}

/**
 * Parses each command with the parser of the Azure CLI, without running it. Returns the parser's messages for each
 * command; [] for a valid one.
 */
export async function parseCommands(commands: readonly (readonly string[])[]): Promise<string[][]> {
  const python = await findAzPython();
  const home = makeHome();
  try {
    const parser = fileURLToPath(new URL("az-parse.py", import.meta.url));
    const env = { ...process.env, ...settings(home) };
    return JSON.parse(execFileSync(python, [parser], { env, input: JSON.stringify(commands), encoding: "utf8" }));
  } finally {
    rmSync(home, { recursive: true });
  }
}

/**
 * The arguments of each az call when bash runs a script, with loops and variables expanded. az and all other programs
 * are replaced by a function that prints "ANSWER".
 */
export function listCommands(script: string): string[][] {
  const folder = mkdtempSync(join(tmpdir(), "az-lines-")); // for files that the script writes
  const preamble = `
    PATH=/nowhere
    command_not_found_handle() { echo ANSWER; }
    az() { printf '%s\\0' "$@" $'\\n' >&3; echo ANSWER; }`;
  const recorded = execFileSync("bash", ["-c", `exec 3>&1 >/dev/null 2>&1\n${preamble}\n${script}`], {
    cwd: folder,
    encoding: "utf8",
    timeout: 10_000, // ends loops that wait for a result
  });
  rmSync(folder, { recursive: true });
  const commands = recorded.split("\0\n\0").slice(0, -1);
  return commands.map((command) => command.split("\0"));
}

/** The Azure CLI, signed in to the Azure stand-in. It has a home folder of its own and can reach no other host. */
export interface AzureCli {
  /**
   * Runs a bash script in the repository and resolves with its output. Variables and functions carry over to the next
   * run.
   */
  run(script: string): Promise<string>;
  /** Environment for processes that use this az and its sign-in. */
  readonly env: Readonly<Record<string, string>>;
  /** Other hosts that az tried to reach; the proxy refused the connections. */
  readonly refusedHosts: readonly string[];
  close(): void;
}

/** @param bicep path of the compiler for az; needed only for Bicep files */
export async function startAzureCli(azure: Azure, bicep?: string): Promise<AzureCli> {
  const python = await findAzPython();
  const home = makeHome();
  writeFileSync(join(home, "session"), "");
  mkdirSync(join(home, "bin"));
  if (bicep) {
    // az asks for the version up to three times for each file. The compiler needs half a second to answer.
    const { stdout: version } = await execute(bicep, ["--version"]);
    const script = `#!/bin/sh\n[ "$1" != --version ] || exec echo "${version.trim()}"\nexec "${bicep}" "$@"\n`;
    writeFileSync(join(home, "bin/bicep"), script, { mode: 0o755 });
  }
  writeFileSync(join(home, "bin/az"), `#!/bin/sh\nexec "${python}" -m azure.cli "$@"\n`, { mode: 0o755 });

  const refusedHosts: string[] = [];
  const proxy = createServer().on("connect", (request, socket) => {
    refusedHosts.push(request.url ?? "");
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  proxy.listen(0, "127.0.0.1");
  await once(proxy, "listening");
  const address = proxy.address();
  const port = typeof address === "object" ? address?.port : undefined;

  const origin = azure.httpsUrl;
  const env = {
    ...settings(home),
    ...shortRun,
    PATH: `${join(home, "bin")}:${process.env.PATH}`,
    HTTPS_PROXY: `http://127.0.0.1:${port}`,
    NO_PROXY: "127.0.0.1",
    REQUESTS_CA_BUNDLE: azure.caFile,
    IDENTITY_ENDPOINT: `${azure.url}/msi/token`,
    IDENTITY_HEADER: identityHeader,
  };
  const cli: AzureCli = {
    env,
    refusedHosts,
    async run(script) {
      const lines = `source ~/session\nset -a\n${script}\n{ export -p; declare -f; } > ~/session`;
      const { stdout } = await execute("bash", ["--norc", "-euo", "pipefail", "-c", lines], { cwd: root, env });
      return stdout;
    },
    close() {
      proxy.close();
      rmSync(home, { recursive: true });
    },
  };
  await cli.run(`
    az cloud register -n stand-in --skip-endpoint-discovery --endpoint-resource-manager ${origin} \
      --endpoint-management ${origin} --endpoint-active-directory ${origin} \
      --endpoint-active-directory-graph-resource-id ${origin} \
      --endpoint-active-directory-resource-id https://management.azure.com/ \
      --suffix-acr-login-server-endpoint .azurecr.io --suffix-keyvault-dns .vault.azure.net
    az cloud set -n stand-in
    az login --identity`);
  return cli;
}

function makeHome(): string {
  const home = mkdtempSync(join(tmpdir(), "az-"));
  // Without this file, the first command looks for a newer version on the internet.
  writeFileSync(
    join(home, "versionCheck.json"),
    JSON.stringify({ versions: { core: { local: readVersion("azure-cli") } } }),
  );
  return home;
}

function settings(home: string) {
  return {
    HOME: home,
    AZURE_CONFIG_DIR: home,
    AZURE_CORE_COLLECT_TELEMETRY: "no",
    AZURE_CORE_NO_COLOR: "yes",
    AZURE_CORE_INSTANCE_DISCOVERY: "no", // would ask login.microsoftonline.com whether it knows the stand-in
    AZURE_EXTENSION_USE_DYNAMIC_INSTALL: "no",
    AZURE_BICEP_USE_BINARY_FROM_PATH: "yes",
    AZURE_BICEP_CHECK_VERSION: "no",
  };
}
