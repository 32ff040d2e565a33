// A Docker engine with Compose: the one that answers here, or a private one, made of Debian's packages.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";
import { importBaseImages } from "./base-images.ts";
import { installFromDebian } from "./debian.ts";
import { root } from "./processes.ts";

export interface Docker {
  /** As users type it, in the project's folder. Resolves with what it prints, rejects with what it says. */
  (...args: string[]): Promise<string>;
  /** The private engine has no registry: its base images are stand-ins, and there is no Cosmos DB emulator. */
  readonly isPrivate: boolean;
  end(): Promise<void>;
}

const execute = promisify(execFile);
const sources = "/etc/apt/sources.list.d/debian.sources";
const composeVersion = "2.26.1-4"; // of Debian 13, whose packages do not move

/** @throws when no engine answers and none can be started here, with what would help */
export async function startDocker(): Promise<Docker> {
  const docker = dockerWith({});
  if (await docker("version").catch(() => undefined)) {
    await docker("compose", "version").catch((error) => {
      throw new Error(`A Docker engine answers, but Compose v2 does not: install docker-compose-plugin.\n${error}`);
    });
    return Object.assign(docker, { isPrivate: false, end: async () => {} });
  }
  if (process.getuid?.() !== 0 || !existsSync(sources)) {
    throw new Error(
      "No Docker engine answers, so nothing is proved about images and docker-compose.yml. Start Docker, or run this as " +
        "root on Debian, where a private engine is installed and started.",
    );
  }
  return startPrivateDocker();
}

function dockerWith(env: NodeJS.ProcessEnv) {
  return async (...args: string[]) => {
    const options = { cwd: root, env: { ...process.env, ...env }, maxBuffer: 2 ** 26 };
    return (await execute("docker", args, options)).stdout.trim();
  };
}

/**
 * dockerd with a socket, a pid file and a data folder of its own; the machine is left as it was. The data folder stays in the
 * cache, because a second build takes seconds with the first one's layers.
 */
async function startPrivateDocker(): Promise<Docker> {
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
    ...["--pdeathsig", "TERM"], // it never outlives this process, however that ends
    ...["flock", "--no-fork", join(cache, "docker.lock")], // of two runs, the second one waits for the data folder
    ...["sh", join(root, "test/support/dockerd.sh"), folder],
    ...["--data-root", data, "--exec-root", join(folder, "exec"), "--pidfile", join(folder, "pid"), "--host", host],
  ];
  const child = spawn("setpriv", command, { stdio: ["ignore", output, output] });
  const exited = once(child, "exit");

  const docker = dockerWith({ DOCKER_HOST: host, DOCKER_CONFIG: folder });
  async function clean() {
    const containers = (await docker("ps", "--all", "--quiet")).split("\n").filter(Boolean);
    if (containers.length > 0) await docker("rm", "--force", "--volumes", ...containers);
    await docker("network", "prune", "--force");
    await docker("volume", "prune", "--force");
    // What no build has used for long, so that the folder stops growing.
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
    await clean(); // what a killed run left in the data folder
    await importBaseImages(docker);
    return Object.assign(docker, { isPrivate: true, end });
  } catch (error) {
    await end();
    throw error;
  }
}

/** The folder of Compose v2, which Debian 12 has not: from Debian 13, by this machine's apt with a configuration of its own. */
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
    const options = [
      ...["Dir::Etc::SourceList=/dev/null", `Dir::Etc::SourceParts=${made}/sources`, `Dir::State::Lists=${made}/lists`],
      ...[`Dir::Cache=${made}`, "APT::Sandbox::User=root"],
    ].flatMap((option) => ["-o", option]);
    await execute("apt-get", [...options, "update"], { maxBuffer: 2 ** 26 });
    await execute("apt-get", [...options, "download", `docker-compose=${composeVersion}`], { cwd: made });
    await execute("sh", ["-c", "dpkg-deb --extract docker-compose_*.deb unpacked"], { cwd: made });
    renameSync(join(made, "unpacked"), folder);
  } catch (error) {
    if (!existsSync(plugins)) throw error; // else another run was quicker
  } finally {
    rmSync(made, { recursive: true, force: true });
  }
  return plugins;
}
