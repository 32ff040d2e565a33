// A Docker engine with Compose: the running one, or a private one, installed from Debian's packages.
// biome-ignore lint/style/noRestrictedImports: a killed dockerd.sh would not restore the packet filter.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";
import { flags } from "../../tools/processes/flags.ts";
import { importBaseImages } from "./base-images.ts";
import { installFromDebian } from "./debian.ts";
import { root } from "./processes.ts";

export interface Docker extends Commands {
  /** True for an engine without a registry. Its base images and the Cosmos DB emulator are replacements. */
  readonly isPrivate: boolean;
  end(): Promise<void>;
}

/** Commands against one engine, run in one folder. They resolve with stdout and reject with stderr in the message. */
interface Commands {
  (...args: string[]): Promise<string>;
  /** Runs a block of shell in which `docker` reaches the engine. */
  shell(script: string): Promise<string>;
}

const execute = promisify(execFile);
const sources = "/etc/apt/sources.list.d/debian.sources";
const composeVersion = "2.26.1-4"; // Debian 13's; packages of a stable release keep their version

/**
 * @param folder a copy of the repository, in which commands run
 * @throws Error with the remedy, when no engine responds and none can be started on this machine
 */
export async function startDocker(folder: string): Promise<Docker> {
  const docker = connect(folder, {});
  if (await docker("version").catch(() => undefined)) {
    await docker("compose", "version").catch((error) => {
      throw new Error(
        `The Docker engine responds, but Compose v2 is missing. Install docker-compose-plugin.\n${error}`,
      );
    });
    return Object.assign(docker, { isPrivate: false, end: async () => {} });
  }
  if (process.getuid?.() !== 0 || !existsSync(sources)) {
    throw new Error(
      "No Docker engine responds, so the images and docker-compose.yml cannot be tested. Start Docker, or run this as " +
        "root on Debian, where the tests install and start an engine of their own.",
    );
  }
  return startPrivateDocker(folder);
}

function connect(cwd: string, env: NodeJS.ProcessEnv): Commands {
  const run = async (command: string, args: string[]) => {
    const options = { cwd, env: { ...process.env, ...env }, maxBuffer: 2 ** 26 };
    return (await execute(command, args, options)).stdout.trim();
  };
  return Object.assign((...args: string[]) => run("docker", args), {
    shell: (script: string) => run("bash", ["-e", "-o", "pipefail", "-c", script]),
  });
}

/**
 * Starts dockerd with its own socket, pid file and data folder, and leaves the machine as it was. The data folder stays
 * in the cache: with the layers of an earlier build, a build takes seconds.
 */
async function startPrivateDocker(workFolder: string): Promise<Docker> {
  const folder = mkdtempSync(join(tmpdir(), "docker-test-"));
  const cache = findCacheFolder(process);
  const data = join(cache, "docker");
  mkdirSync(data, { recursive: true });
  await installFromDebian("dockerd", "docker.io");
  writeFileSync(join(folder, "config.json"), JSON.stringify({ cliPluginsExtraDirs: [await findCompose(cache)] }));

  const host = `unix://${join(folder, "docker.sock")}`;
  const log = join(folder, "dockerd.log");
  const output = openSync(log, "a");
  const command = [
    // Ends the engine when this process ends, even if it is killed.
    ...flags({ pdeathsig: "TERM" }),
    // A second run waits for the data folder.
    "flock",
    "--no-fork",
    join(cache, "docker.lock"),
    "sh",
    join(root, "test/support/dockerd.sh"),
    folder,
    ...flags({ "data-root": data, "exec-root": join(folder, "exec"), pidfile: join(folder, "pid"), host }),
  ];
  const child = spawn("setpriv", command, { stdio: ["ignore", output, output] });
  const exited = once(child, "exit");

  const docker = connect(workFolder, { DOCKER_HOST: host, DOCKER_CONFIG: folder });
  async function clean() {
    const containers = (await docker("ps", "--all", "--quiet")).split("\n").filter(Boolean);
    if (containers.length > 0) await docker("rm", "--force", "--volumes", ...containers);
    await docker("network", "prune", "--force");
    await docker("volume", "prune", "--force");
    // Removes layers that no build has used for a week, so that the folder stops growing.
    await docker("image", "prune", "--force", "--filter", "until=168h");
    await docker("builder", "prune", "--force", "--keep-storage", "4GB");
  }
  async function end() {
    await clean().catch(() => {});
    child.kill();
    await exited;
    rmSync(folder, { recursive: true, force: true });
  }
  try {
    while (!(await docker("version").catch(() => undefined))) {
      if (child.exitCode !== null) throw new Error(`dockerd ended:\n${readFileSync(log, "utf8").slice(-2_000)}`);
      await sleep(200);
    }
    await clean(); // a killed run leaves containers in the data folder
    await importBaseImages(docker, workFolder);
    return Object.assign(docker, { isPrivate: true, end });
  } catch (error) {
    await end();
    throw error;
  }
}

/** Returns the folder of the Compose v2 plugin. Debian 12 lacks it, so apt fetches Debian 13's into the cache. */
async function findCompose(cache: string): Promise<string> {
  const folder = join(cache, `docker-compose-${composeVersion}`);
  const plugins = join(folder, "usr/libexec/docker/cli-plugins");
  if (existsSync(plugins)) return plugins;
  const made = mkdtempSync(`${folder}.`);
  try {
    for (const name of ["lists/partial", "archives/partial", "sources"])
      mkdirSync(join(made, name), { recursive: true });
    const [main = ""] = readFileSync(sources, "utf8").split(/\n\n+/);
    writeFileSync(join(made, "sources/debian.sources"), `${main.replace(/^Suites:.*/m, "Suites: trixie").trim()}\n`);
    const options = flags({
      option: [
        "Dir::Etc::SourceList=/dev/null",
        `Dir::Etc::SourceParts=${made}/sources`,
        `Dir::State::Lists=${made}/lists`,
        `Dir::Cache=${made}`,
        "APT::Sandbox::User=root",
      ],
    });
    await execute("apt-get", [...options, "update"], { maxBuffer: 2 ** 26 });
    await execute("apt-get", [...options, "download", `docker-compose=${composeVersion}`], { cwd: made });
    await execute("sh", ["-c", "dpkg-deb --extract docker-compose_*.deb unpacked"], { cwd: made });
    renameSync(join(made, "unpacked"), folder);
  } catch (error) {
    if (!existsSync(plugins)) throw error; // otherwise another run finished first
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return plugins;
}
