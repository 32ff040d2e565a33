// Replaces images that an engine without a registry cannot pull, under the same names: Node's base image, built from
// this machine's Debian packages, npm and the pinned Node; Dapr's, built from the project's own daprd; and the Cosmos
// DB emulator's, which becomes the simulator.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findDaprd } from "../../tools/daprd/find.ts";
import { root } from "./processes.ts";

type Run = (...args: string[]) => Promise<string>;

const execute = promisify(execFile);

/** The packages of the official Node image that the Dockerfile and npm use. */
const packages = [
  "libc6",
  "libc-bin",
  "libstdc++6",
  "libgcc-s1",
  "libatomic1",
  "dash",
  "bash",
  "libtinfo6",
  "grep",
  "libpcre2-8-0",
  "coreutils",
  "libacl1",
  "libattr1",
  "libgmp10",
  "libselinux1",
  "dpkg",
  "libmd0",
];
/** Includes a proxy's CA if the machine's administrator has added one. */
const certificates = "/etc/ssl/certs/ca-certificates.crt";

/**
 * @param folder a copy of the repository. Digests disappear from its Dockerfile and docker-compose.yml, because an
 *   imported image has none.
 */
export async function importBaseImages(docker: Run, folder: string): Promise<void> {
  const [dockerfile = "", compose = ""] = ["Dockerfile", "docker-compose.yml"].map((file) => {
    const text = readFileSync(join(folder, file), "utf8").replaceAll(/@sha256:[0-9a-f]{64}/g, "");
    writeFileSync(join(folder, file), text);
    return text;
  });
  const [, node = ""] = /^ARG NODE=(\S+)$/m.exec(dockerfile) ?? [];
  const [, daprd = ""] = /image: (daprio\/daprd:\S+)/.exec(compose) ?? [];
  const [, emulator = ""] = /image: (\S+\/azure-cosmos-emulator:\S+)/.exec(compose) ?? [];
  await importImage(docker, node, process.version, makeNode, [
    "ENV PATH=/usr/local/bin:/usr/bin:/bin",
    `ENV NODE_EXTRA_CA_CERTS=${certificates}`,
  ]);
  const path = await findDaprd();
  // Dapr's own docker/Dockerfile uses distroless static with the user nonroot.
  await importImage(docker, daprd, path, (folder) => makeDaprd(folder, path), ["USER 65532:65532", "WORKDIR /"]);
  const simulator = join(root, "test/simulators/cosmos");
  await docker("build", "--quiet", "--build-arg", `NODE=${node}`, "--tag", emulator, simulator);
}

/** Skips an image that the same code has already imported from the same `source`. */
async function importImage(
  docker: Run,
  name: string,
  source: string,
  make: (folder: string) => Promise<void>,
  changes: string[],
): Promise<void> {
  const code = readFileSync(fileURLToPath(import.meta.url));
  const stamp = createHash("sha256").update(code).update(source).digest("hex");
  const known = await docker("image", "inspect", "--format", "{{.Config.Labels.stamp}}", name).catch(() => "");
  if (known === stamp) return;
  const folder = mkdtempSync(join(tmpdir(), "base-image-"));
  try {
    await make(join(folder, "root"));
    const archive = join(folder, "root.tar");
    await execute("tar", ["-C", join(folder, "root"), "--numeric-owner", "-cf", archive, "."]);
    const options = [...changes, `LABEL stamp=${stamp}`].flatMap((change) => ["--change", change]);
    await docker("import", ...options, archive, name);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function makeNode(folder: string): Promise<void> {
  mkdirSync(join(folder, "tmp"), { recursive: true, mode: 0o1777 });
  // The targets of Debian's links at the root.
  for (const name of ["bin", "sbin", "lib", "lib64"]) mkdirSync(join(folder, "usr", name), { recursive: true });
  const list = `dpkg --listfiles ${packages.join(" ")} | grep ^/. | grep -Ev '^/usr/share/(doc|man|info|locale|lintian)(/|$)'`;
  const pack = "tar -C / --no-recursion --files-from - -c";
  await execute("sh", ["-c", `${list} | sort -u | ${pack} | tar -C ${folder} -x`]);
  // Descriptions of the libraries' packages, and their licences.
  const described = [
    "/etc/os-release /usr/lib/os-release /usr/share/common-licenses /usr/share/doc/gcc-*-base",
    "/var/lib/dpkg/status /var/lib/dpkg/info/format",
    "{/usr/share/doc/,/var/lib/dpkg/info/}lib{c6,stdc++6,gcc-s1,atomic1}*",
  ].join(" ");
  await execute("bash", ["-c", `shopt -s nullglob; tar -C / -c ${described} | tar -C ${folder} -x`]);
  const { stdout: npm } = await execute("sh", ["-c", 'realpath "$(command -v npm)"']); // …/npm/bin/npm-cli.js
  const modules = join(folder, "usr/local/lib/node_modules");
  cpSync(join(npm.trim(), "../.."), join(modules, "npm"), { recursive: true });
  mkdirSync(join(folder, "usr/local/bin"), { recursive: true });
  cpSync(process.execPath, join(folder, "usr/local/bin/node"));
  cpSync(join(process.execPath, "../../LICENSE"), join(folder, "usr/local/LICENSE"));
  symlinkSync("../lib/node_modules/npm/bin/npm-cli.js", join(folder, "usr/local/bin/npm"));
  writeFileSync(join(folder, "etc/passwd"), "root:x:0:0:root:/root:/bin/bash\n");
  addCertificates(folder);
}

async function makeDaprd(folder: string, path: string): Promise<void> {
  mkdirSync(join(folder, "home/nonroot"), { recursive: true });
  cpSync(path, join(folder, "daprd"));
  mkdirSync(join(folder, "etc"));
  writeFileSync(join(folder, "etc/passwd"), "nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n");
  addCertificates(folder);
  await execute("chown", ["65532:65532", join(folder, "home/nonroot")]);
}

function addCertificates(folder: string): void {
  mkdirSync(join(folder, "etc/ssl/certs"), { recursive: true });
  cpSync(certificates, join(folder, certificates), { dereference: true });
}
