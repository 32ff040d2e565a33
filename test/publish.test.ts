// A release: the version that files name, and publish.yml, which publishes it. test/containers runs its scripts.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { programNames } from "../tools/bundle/programs.ts";
import { root } from "./support/processes.ts";

const read = (file: string) => readFileSync(join(root, file), "utf8");
const { version } = JSON.parse(read("package.json"));

test("settings of manifests, parameter files and pages that name an image of the suite give it the version of package.json", () => {
  // Those of registry.example are of the simulator of Container Apps.
  const images =
    /(?:(?<!\/\/|registry\.example\/)\b(?:state-api|group-lister|welcome|hello-wasm|azure-stand-in|cosmos-check):|^ {2}TAG: ")(\d[\w.-]*\w)/gm;
  const files = ["docker-compose*.yml", "infra", "docs", "README.md"];
  const listed = execFileSync("git", ["ls-files", ...files], { cwd: root, encoding: "utf8" })
    .trim()
    .split("\n");
  const named = listed.flatMap((file) =>
    [...read(file).matchAll(images)].map(([image, tag]) => ({ file, image, isRelease: tag === version })),
  );
  expect(named.filter(({ isRelease }) => !isRelease)).toEqual([]);
  const expected = [
    "docker-compose.yml",
    "infra/kubernetes/overlays/aks/settings.yaml",
    "infra/bicep/parameters/welcome.bicepparam",
  ];
  expect(named.map(({ file }) => file)).toEqual(expect.arrayContaining(expected));
});

test("package-lock.json has the version of package.json", () => {
  const lock = JSON.parse(read("package-lock.json"));
  expect([lock.version, lock.packages[""].version]).toEqual([version, version]);
});

test("the Dockerfile names no architecture, and its base image has a digest that the release of every one takes", () => {
  const dockerfile = read("Dockerfile");
  expect(dockerfile).not.toMatch(/x86|x64|amd64|arm64|aarch64|--platform/);
  expect(dockerfile.match(/^FROM .*/gm)?.every((line) => /^FROM (\$\{NODE\}( AS \w+)?|scratch)$/.test(line))).toBe(
    true,
  );
});

test("no page or manifest names an image of the suite on ghcr.io, but with OWNER in place of its owner", () => {
  const listed = execFileSync("git", ["ls-files", "*.md", "*.yaml", "*.yml", "infra", "docs"], {
    cwd: root,
    encoding: "utf8",
  });
  const names = ["dapr-on-azure-samples", "REPOSITORY", ...programNames].join("|");
  const image = new RegExp(`ghcr\\.io/(\\S+?)/(?:${names})\\b`, "g");
  const owners = listed
    .trim()
    .split("\n")
    .flatMap((file) => [...read(file).matchAll(image)].map(([, owner]) => owner));
  expect(new Set(owners)).toEqual(new Set(["OWNER"]));
});

interface Step {
  readonly id?: string;
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}
interface Job {
  readonly needs?: string;
  readonly environment?: string;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly strategy?: { readonly matrix: Readonly<Record<string, readonly string[]>> };
  readonly steps: readonly Step[];
}

describe("publish.yml", () => {
  const workflow: { on: unknown; permissions: unknown; jobs: Record<string, Job> } = parse(
    read(".github/workflows/publish.yml"),
  );
  const { jobs } = workflow;
  const steps = (name: string) => jobs[name]?.steps.map(({ run, uses }) => run ?? uses ?? "") ?? [];
  const setting = (name: string) =>
    new RegExp(`${name}[:=]+'?"?([^'"}]+)`).exec(read("tools/publish/settings.sh"))?.[1];

  test("starts with a tag of a version only, and each job has the permissions that it needs and no others", () => {
    expect(workflow.on).toEqual({ push: { tags: ["v*"] } });
    expect(workflow.permissions).toEqual({});
    expect(Object.fromEntries(Object.entries(jobs).map(([name, { permissions }]) => [name, permissions]))).toEqual({
      check: { contents: "read" },
      build: { contents: "read", packages: "write" },
      scan: { contents: "read", packages: "read" },
      publish: { attestations: "write", contents: "read", "id-token": "write", packages: "write" },
      announce: { contents: "write", packages: "read" },
    });
    const needs = Object.entries(jobs).map(([name, job]) => [name, job.needs, job.environment]);
    expect(needs).toEqual([
      ["check", undefined, undefined],
      ["build", "check", undefined],
      ["scan", "build", undefined],
      ["publish", "scan", "publish"],
      ["announce", "publish", undefined],
    ]);
  });

  test("builds on a machine of each architecture, and publishes every program that has an image", () => {
    expect(setting("SERVICES")?.split(" ").sort()).toEqual([...programNames].sort());
    expect([...(jobs.publish?.strategy?.matrix.service ?? [])].sort()).toEqual([...programNames].sort());
    expect(setting("ARCHITECTURES")).toBe("amd64 arm64");
    expect(jobs.build?.strategy?.matrix.runner).toEqual(["ubuntu-24.04", "ubuntu-24.04-arm"]);
  });

  test("attests the provenance of the index and the SBOM of each architecture, signs, and only then sets the public tag", () => {
    const attested = jobs.publish?.steps
      .filter(({ uses }) => uses?.startsWith("actions/attest@"))
      .map((step) => step.with);
    const output = (name: string) => `\${{ steps.image.outputs.${name} }}`;
    const of = (digest: string, sbom?: string) => ({
      "subject-name": output("name"),
      "subject-digest": output(digest),
      ...(sbom === undefined ? {} : { "sbom-path": sbom }),
      "push-to-registry": true,
      "create-storage-record": false,
    });
    expect(attested).toEqual([of("index"), of("amd64", "sbom-amd64.spdx.json"), of("arm64", "sbom-arm64.spdx.json")]);
    expect(steps("publish").slice(-2)).toEqual([
      'cosign sign --yes --recursive "$NAME@$DIGEST"',
      'sh tools/publish/tag.sh "$NAME" "$DIGEST"',
    ]);
    const tagging = Object.keys(jobs).filter((name) => steps(name).some((step) => step.includes("tag.sh")));
    expect(tagging).toEqual(["publish"]);
  });

  test("uses the version of oras that the tests use", () => {
    const [, version] = /oras\.land\/oras (v\S+)/.exec(read("test/containers/tools/registry/go.mod")) ?? [];
    const used = Object.keys(jobs).flatMap((name) => steps(name).filter((step) => step.includes("oras.land")));
    expect(new Set(used)).toEqual(new Set([`go install oras.land/oras/cmd/oras@${version}`]));
  });
});

describe("the commands of docs/deploy/containers.md that verify an image", () => {
  // https://github.com/sigstore/cosign/blob/main/doc/cosign_verify.md, https://cli.github.com/manual/gh_attestation_verify
  const options: Record<string, readonly string[]> = {
    "cosign verify": ["certificate-identity", "certificate-oidc-issuer"],
    "gh attestation verify": ["predicate-type", "repo", "signer-workflow"],
  };
  const commands = [...read("docs/deploy/containers.md").matchAll(/`(cosign verify|gh attestation verify) (.+)`/g)];
  /** Throws for an option that the program does not have. */
  const parsed = commands.map(([, program = "", text = ""]) => {
    const { values, positionals } = parseArgs({
      args: text.split(" "),
      allowPositionals: true,
      options: Object.fromEntries((options[program] ?? []).map((name) => [name, { type: "string" as const }])),
    });
    return { program, values: { ...values }, positionals };
  });
  const workflow = ".github/workflows/publish.yml";

  test("name the workflow that signs, the tag that starts it, the image that it publishes and the format of its SBOM", () => {
    const image = "ghcr.io/OWNER/REPOSITORY/state-api";
    const [, format] = /spdxVersion: "SPDX-([\d.]+)"/.exec(read("tools/bundle/spdx.ts")) ?? [];
    expect(parsed).toEqual([
      {
        program: "cosign verify",
        positionals: [`${image}:${version}`],
        values: {
          "certificate-oidc-issuer": "https://token.actions.githubusercontent.com",
          "certificate-identity": `https://github.com/OWNER/REPOSITORY/${workflow}@refs/tags/v${version}`,
        },
      },
      {
        program: "gh attestation verify",
        positionals: [`oci://${image}:${version}`],
        values: { repo: "OWNER/REPOSITORY", "signer-workflow": `OWNER/REPOSITORY/${workflow}` },
      },
      {
        program: "gh attestation verify",
        positionals: [`oci://${image}@DIGEST`],
        values: { repo: "OWNER/REPOSITORY", "predicate-type": `https://spdx.dev/Document/v${format}` },
      },
    ]);
  });
});

describe("tools/publish/notes.sh", () => {
  const folder = mkdtempSync(join(tmpdir(), "notes-test-"));
  cpSync(join(root, "tools/publish"), join(folder, "tools/publish"), { recursive: true });
  cpSync(join(root, "package.json"), join(folder, "package.json"));
  afterAll(() => rmSync(folder, { recursive: true }));

  function printNotes(tag: string, changelog: string) {
    writeFileSync(join(folder, "CHANGELOG.md"), changelog);
    const env = { ...process.env, GITHUB_REPOSITORY: "Owner/samples" };
    return spawnSync("sh", ["tools/publish/notes.sh", tag], { cwd: folder, env, encoding: "utf8" });
  }
  const before = "# Changelog\n\n## Unreleased\n\n- Later.\n";
  const after = "\n## 0.9.0 - 2020-01-01\n\n- Earlier.\n";

  test("prints the section of the version, whose links to files lead to the tag", () => {
    const section = `\n## ${version} - 2026-12-01\n\n### Added\n\n- [A](docs/a.md#b), [c](https://example.com/c), [d](#d).\n`;
    const { status, stdout } = printNotes(`v${version}`, before + section + after);
    expect([status, stdout.trim()]).toEqual([
      0,
      `### Added\n\n- [A](https://github.com/Owner/samples/blob/v${version}/docs/a.md#b), [c](https://example.com/c), [d](#d).`,
    ]);
  });

  test.each([
    [
      "another tag",
      "v0.0.1",
      `\n## ${version}\n\n- A.\n`,
      /The tag v0\.0\.1 is not that of the version in package\.json\. Push/,
    ],
    ["no section of the version", `v${version}`, "", /CHANGELOG\.md has no section '## .*' with text\. Write it/],
    [
      "an empty section",
      `v${version}`,
      `\n## ${version}\n`,
      /CHANGELOG\.md has no section '## .*' with text\. Write it/,
    ],
  ])("fails with %s", (_, tag, section, message) => {
    const { status, stdout, stderr } = printNotes(tag, before + section + after);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(message);
  });
});
