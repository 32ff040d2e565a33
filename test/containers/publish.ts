// Runs the scripts of .github/workflows/publish.yml, step by step and job by job, against a real registry on loopback,
// then uses the images that they publish. GitHub alone can run the other steps: sign-in, signatures, attestations.
import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import type { Docker } from "../support/docker.ts";
import { buildTimeout } from "../support/go-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";
import { type Registry, startRegistry } from "../support/registry.ts";

interface Step {
  readonly id?: string;
  readonly run?: string;
  readonly env?: Readonly<Record<string, string>>;
}
interface Job {
  readonly steps: readonly Step[];
  readonly strategy?: { readonly matrix: { readonly service?: readonly string[] } };
}

/** Block of the page that uses published images. */
export const [pullCommands = ""] = readBlocks("docs/deploy/containers.md")
  .map(({ command }) => command)
  .filter((command) => command.startsWith("docker compose pull\n"));

interface Context {
  readonly docker: () => Docker;
  /** A temporary folder, and the copy of the repository in which docker runs. */
  readonly folder: string;
  readonly repository: string;
  readonly version: string;
  readonly services: readonly string[];
  /** An image of the engine that is not state-api's. */
  readonly anotherImage: string;
  /** Megabytes of the layers as a registry stores and sends them, by service. */
  readonly compressedSizes: ReadonlyMap<string, number>;
  readonly compose: (...args: string[]) => Promise<string>;
  readonly useEveryPath: () => Promise<void>;
}

// Only there does an engine share the loopback interface of the tests.
export function testRelease(context: Context): void {
  const { docker, folder, repository, version, services, anotherImage, compressedSizes, compose, useEveryPath } =
    context;
  describe.skipIf(process.platform !== "linux")("the release of a fork, on a registry on loopback", () => {
    const jobs: Readonly<Record<string, Job>> = parse(
      readFileSync(join(root, ".github/workflows/publish.yml"), "utf8"),
    ).jobs;
    const calls = join(folder, "grype-calls");
    let registry: Registry;
    let prefix: string;
    let architecture: string;
    let settings: Record<string, string>;

    beforeAll(async () => {
      registry = await startRegistry();
      // oras and docker use plain HTTP for this name. GitHub's own owner and name may have capitals.
      prefix = `localhost:${registry.host.split(":")[1]}/owner/dapr-on-azure-samples`;
      architecture = await docker()("version", "--format", "{{.Server.Arch}}");
      const bin = join(folder, "bin");
      mkdirSync(bin);
      // Grype needs its database from the Internet. This one finds something when FINDS names a part of its arguments.
      const grype = `#!/bin/sh\necho "$*" >>'${calls}'\ncase "$*" in *"\${FINDS:-nothing}"*) exit 2 ;; esac\n`;
      writeFileSync(join(bin, "grype"), grype, { mode: 0o755 });
      settings = {
        PATH: [bin, dirname(registry.client.path), process.env.PATH].join(":"),
        IMAGES: prefix,
        ARCHITECTURES: architecture,
        GITHUB_REPOSITORY: "Owner/Dapr-on-Azure-samples",
        GITHUB_REF_NAME: `v${version}`,
        GITHUB_SHA: "0123456789012345678901234567890123456789",
        GITHUB_OUTPUT: join(folder, "outputs"),
      };
      writeFileSync(join(repository, "CHANGELOG.md"), `# Changelog\n\n## ${version}\n\n- The [notes](docs/a.md).\n`);
    }, buildTimeout);
    afterAll(() => registry.end());

    /** Runs the steps of a job that call a script of the repository. */
    async function runJob(name: string, more: Record<string, string> = {}, service = ""): Promise<void> {
      const outputs = new Map<string, string>();
      const fill = (text: string) =>
        text.replaceAll(/\$\{\{ (.*?) \}\}/g, (_, expression) =>
          expression === "matrix.service" ? service : (outputs.get(expression) ?? expect.fail(`no ${expression}`)),
        );
      for (const { id, run = "", env = {} } of jobs[name]?.steps ?? []) {
        if (!run.startsWith("sh tools/publish/")) continue;
        writeFileSync(settings.GITHUB_OUTPUT ?? "", "");
        const filled = Object.entries(env).map(([variable, value]) => [variable, fill(value)]);
        const variables = Object.entries({ ...settings, ...more, ...Object.fromEntries(filled) });
        await docker().shell(
          [...variables.map(([variable, value]) => `export ${variable}='${value}'`), run].join("\n"),
        );
        for (const line of readFileSync(settings.GITHUB_OUTPUT ?? "", "utf8").split("\n")) {
          const [, output, value = ""] = /^(\w+)=(.*)$/.exec(line) ?? [];
          if (output) outputs.set(`steps.${id}.outputs.${output}`, value);
        }
      }
    }

    const oras = async (...args: string[]) =>
      (await promisify(execFile)(registry.client.path, args, { env: registry.client.env })).stdout;
    const readManifest = async (name: string) => JSON.parse(await oras("manifest", "fetch", name));
    const resolve = async (name: string) => (await oras("resolve", name)).trim();

    test("check accepts the tag of the version, build pushes a candidate of each image, and no image has a public tag", {
      timeout: 300_000,
    }, async () => {
      await runJob("check");
      await runJob("build");
      for (const service of services) {
        const tags = await oras("repo", "tags", `${prefix}/${service}`);
        expect(tags.trim()).toBe(`candidate-${version}-${architecture}`);
      }
    });

    test.each(["registry:", "sbom:"])(
      "scan looks at every image and SBOM, and fails for a finding in one %s",
      async (kind) => {
        writeFileSync(calls, "");
        await expect(runJob("scan", { FINDS: kind })).rejects.toThrow(
          /vulnerabilities with a fix in:.*\/welcome:candidate/,
        );
        const sources = readFileSync(calls, "utf8").trim().split("\n");
        expect(sources).toHaveLength(2 * services.length);
        for (const [index, service] of services.entries()) {
          const image = `registry:${prefix}/${service}:candidate-${version}-${architecture}`;
          expect(sources[2 * index]).toBe(`${image} --only-fixed --fail-on negligible`);
          expect(sources[2 * index + 1]).toMatch(/^sbom:\/\S+\.spdx\.json --only-fixed --fail-on negligible$/);
        }
      },
    );

    test("publish gives the version to an index of each image, of the size on the page, and reads the SBOM from the image", {
      timeout: 120_000,
    }, async () => {
      await runJob("scan");
      for (const service of jobs.publish?.strategy?.matrix.service ?? []) {
        await runJob("publish", {}, service);
        const index = await readManifest(`${prefix}/${service}:${version}`);
        const candidate = await resolve(`${prefix}/${service}:candidate-${version}-${architecture}`);
        expect(index.manifests).toEqual([
          expect.objectContaining({ digest: candidate, platform: { architecture, os: "linux" } }),
        ]);
        const sbom = JSON.parse(readFileSync(join(repository, `sbom-${architecture}.spdx.json`), "utf8"));
        expect(sbom.name).toContain(service);
        const { layers }: { layers: { size: number }[] } = await readManifest(`${prefix}/${service}@${candidate}`);
        const size = layers.reduce((sum, layer) => sum + layer.size, 0) / 1e6;
        console.log(`${service}: ${size.toFixed(1)} MB compressed`);
        const stated = compressedSizes.get(service);
        if (stated !== undefined) expect(Math.abs(size - stated), service).toBeLessThan(1);
      }
    });

    test("each published image has labels with its repository, commit and version", async () => {
      for (const service of services) {
        const { config } = JSON.parse(
          await oras("manifest", "fetch-config", `${prefix}/${service}:candidate-${version}-${architecture}`),
        );
        expect(config.Labels).toMatchObject({
          "org.opencontainers.image.source": `https://github.com/${settings.GITHUB_REPOSITORY}`,
          "org.opencontainers.image.revision": settings.GITHUB_SHA,
          "org.opencontainers.image.version": version,
        });
      }
    });

    test("announce writes notes with the changes of the version, its links and the digest of each image", async () => {
      await runJob("announce");
      const notes = readFileSync(join(repository, "notes.md"), "utf8");
      const link = `https://github.com/Owner/Dapr-on-Azure-samples/blob/v${version}/docs/a.md`;
      expect(notes).toContain(`- The [notes](${link}).\n\n### Images\n`);
      for (const service of services) {
        const image = `${prefix}/${service}:${version}`;
        expect(notes).toContain(`- \`${image}@${await resolve(image)}\`\n`);
      }
    });

    test("the page's commands replace a local image by the published one, start the suite without a build, and every path works", {
      timeout: 120_000,
    }, async () => {
      const local = (await docker()("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", `${prefix}/*`)).split("\n");
      if (local[0]) await docker()("image", "rm", "--force", ...local);
      await docker()("tag", anotherImage, `${prefix}/state-api:${version}`);
      const started = services.filter((name) => name !== "cosmos-check");
      // A private engine cannot pull Dapr's image.
      const names = docker().isPrivate ? started.join(" ") : "";
      vi.stubEnv("IMAGES", prefix);
      try {
        await docker().shell(pullCommands.replace("compose pull", `compose pull ${names}`));
        await useEveryPath();
        for (const service of started) {
          const [container = ""] = (await compose("ps", "--quiet", service)).split("\n");
          const image = await docker()("container", "inspect", "--format", "{{.Image}}", container);
          const digests = await docker()("image", "inspect", "--format", "{{json .RepoDigests}}", image);
          expect(JSON.parse(digests)).toEqual([
            `${prefix}/${service}@${await resolve(`${prefix}/${service}:${version}`)}`,
          ]);
        }
      } finally {
        await compose("down", "--volumes", "--timeout", "1");
        vi.unstubAllEnvs();
      }
    });
  });
}
