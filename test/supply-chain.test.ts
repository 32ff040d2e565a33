// What the suite runs is pinned: packages, actions, images and tools, with hashes where one is known.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import {
  checkDevContainer,
  checkImage,
  checkLockFile,
  checkManifest,
  checkRenovate,
  checkShell,
  checkWorkflow,
  findDownloads,
} from "./support/floating.ts";
import { readBlocks } from "./support/markdown.ts";
import { root } from "./support/processes.ts";

const read = (file: string) => readFileSync(join(root, file), "utf8");
const list = (...patterns: string[]) =>
  execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", ...patterns], { cwd: root })
    .toString()
    .split("\n")
    .filter((file) => file !== "" && existsSync(join(root, file)));

/** What may float, and why. An entry that nothing needs fails, too. */
const exceptions: Record<string, string> = {
  "daprio/daprd:1.18.2 has no digest": "no public source names it; Renovate adds it",
  "mcr.microsoft.com/devcontainers/base:2.1.13-bookworm has no digest": "no public source names it; Renovate adds it",
  "mcr.microsoft.com/azure-cli:2.91.0 has no digest": "no public source names it; Renovate adds it",
  "quay.io/prometheus/prometheus:v3.13.5 has no digest": "no public source names it; Renovate adds it",
  "nginx:1.29 has no digest": "the policy rejects the pod before anything is pulled",
  "REGISTRY.azurecr.io/hello-wasm-spin:1.0.0 has no digest":
    "the user pushes this image and writes its name into spin-app.yaml",
  "ghcr.io/devcontainers/features/docker-in-docker:4.0.0 installs the latest version":
    "Docker comes from a repository of signed Debian packages",
  '"az aks install-cli" installs kubectl or kubelogin without its version':
    "a reader's own machine: a pinned version would replace a newer kubectl",
};

const found: string[] = [];

/** Fails for faults that are not exceptions. */
function expectNone(faults: readonly string[]): void {
  found.push(...faults);
  expect(faults.filter((fault) => !(fault in exceptions))).toEqual([]);
}

describe("npm packages", () => {
  const manifest = JSON.parse(read("package.json"));
  const lock = JSON.parse(read("package-lock.json"));
  const sha512 = `sha512-${"A".repeat(86)}==`;
  const locked = { version: "1.0.0", resolved: "https://registry.npmjs.org/a/-/a-1.0.0.tgz", integrity: sha512 };

  test("package.json pins every package exactly and denies every install script", () => {
    expectNone(checkManifest(manifest, lock));
  });

  test("package-lock.json has the SHA-512 of every package, from the public registry", () => {
    expect(Object.keys(lock.packages).length).toBeGreaterThan(500);
    expectNone(checkLockFile(lock));
  });

  test("package-lock.json has one version of Node for each of the five platforms", () => {
    const entries = Object.keys(manifest.optionalDependencies).map((name) => lock.packages[`node_modules/${name}`]);
    const platforms = ["darwin arm64", "darwin x64", "linux arm64", "linux x64", "win32 x64"];
    expect(entries.map(({ os, cpu }) => `${os} ${cpu}`).sort()).toEqual(platforms);
    expect(new Set(entries.map(({ version }) => version)).size).toBe(1);
    for (const { bin, hasInstallScript } of entries) {
      expect(bin.node).toMatch(/^bin\/node(\.exe)?$/);
      expect(hasInstallScript).toBeUndefined();
    }
  });

  test.each(["^1.0.0", "~1.0.0", "1.x", "latest", "*", "github:a/b"])(
    "the version %s of a package fails",
    (version) => {
      expect(checkManifest({ devDependencies: { a: version } }, { packages: {} })).toEqual([
        `a has the range ${version}`,
      ]);
    },
  );

  test.each([undefined, true])("an install script that allowScripts says %s about fails", (allowed) => {
    const lockFile = { packages: { "node_modules/b/node_modules/a": { ...locked, hasInstallScript: true } } };
    expect(checkManifest(allowed === undefined ? {} : { allowScripts: { a: allowed } }, lockFile)).toHaveLength(1);
    expect(checkManifest({ allowScripts: { a: false } }, lockFile)).toEqual([]);
  });

  test.each([
    ["without a hash", { ...locked, integrity: "" }],
    ["with a SHA-1", { ...locked, integrity: "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=" }],
    ["from another host", { ...locked, resolved: "https://registry.example.com/a/-/a-1.0.0.tgz" }],
    ["without its origin", { ...locked, resolved: "" }],
    ["without the package of a platform", { ...locked, optionalDependencies: { "a-linux-x64": "1.0.0" } }],
  ])("a locked package %s fails", (_, entry) => {
    expect(checkLockFile({ packages: { "node_modules/a": entry } })).toHaveLength(1);
    expect(checkLockFile({ packages: { "node_modules/a": locked } })).toEqual([]);
  });
});

describe("GitHub workflows", () => {
  const workflows = list(".github/workflows/*");
  const commit = "0123456789012345678901234567890123456789";
  const workflow = (steps: string, job = "runs-on: ubuntu-24.04") =>
    `jobs:\n  a:\n    ${job}\n    steps:\n      - ${steps}\n`;

  test.each(workflows)("%s pins every action by its commit, every tool by its version", (file) => {
    expectNone(checkWorkflow(read(file)));
  });

  test.each([
    ["an action by tag", workflow("uses: actions/checkout@v5 # v5.1.0")],
    ["an action by a short commit", workflow("uses: actions/checkout@0123456 # v5.1.0")],
    ["an action without a comment", workflow(`uses: actions/checkout@${commit}`)],
    ["an action from an image", workflow("uses: docker://alpine:3 # v3")],
    ["a runner that moves", workflow("run: echo", "runs-on: ubuntu-latest")],
    ["a tool by its major version", workflow(`uses: a/b@${commit} # v1\n        with: { node-version: 22 }`)],
    ["a container by tag", workflow("run: echo", "container: node:26.10.0")],
    ["a service by tag", workflow("run: echo", "services: { db: { image: 'redis:8.0.0' } }")],
    ["a floating command", workflow("run: npx cowsay")],
  ])("%s fails", (_, text) => expect(checkWorkflow(text)).toHaveLength(1));

  test("a pinned workflow passes", () => {
    expect(checkWorkflow(workflow(`uses: actions/checkout@${commit} # v5.1.0`))).toEqual([]);
  });
});

describe("images", () => {
  /**
   * The images that the suite builds: with the version of package.json as their tag, or in manifests without a tag,
   * which infra/kubernetes/images adds.
   */
  const own =
    /^(\$\{IMAGES:\+\$\{IMAGES\}\/\})?(state-api|group-lister|welcome|hello-wasm|azure-stand-in|cosmos-check)(:(?<tag>[\w.]+))?$/;
  const isOwn = (image: string) => {
    const { version } = JSON.parse(read("package.json"));
    const match = own.exec(image);
    return match !== null && (match.groups?.tag ?? version) === version;
  };

  test("the Dockerfiles start from images with a digest", () => {
    const bases = list("*Dockerfile").flatMap((file) => {
      const lines = read(file).split("\n");
      const names = lines.flatMap((line) => /^FROM (\S+)/.exec(line)?.[1] ?? []);
      const values = lines.flatMap((line) => /^ARG NODE=(\S+)/.exec(line)?.[1] ?? []);
      return [...names.filter((name) => !/^(scratch|\$\{NODE\})$/.test(name)), ...values];
    });
    expect(bases).toHaveLength(1);
    expectNone(bases.flatMap(checkImage));
  });

  test("the Dockerfile's commands use what package-lock.json locks", () => {
    expect(
      read("Dockerfile")
        .match(/npm .*/g)
        ?.filter((line) => !line.startsWith("npm ci --ignore-scripts")),
    ).toEqual([]);
    expectNone(list("*Dockerfile").flatMap((file) => checkShell(read(file))));
  });

  test("Compose and the Kubernetes manifests name images by digest", () => {
    const files = list("docker-compose*.yml", "infra/**/*.yaml", "test/**/*.yaml");
    const images = files.flatMap((file) =>
      parseAllDocuments(read(file)).flatMap((document) => findImages(document.toJS({ merge: true }))),
    );
    const foreign = new Set(images.filter((image) => !isOwn(image) && image !== "runs-as-a-process"));
    expect(foreign.size).toBeGreaterThan(2);
    expectNone([...foreign].flatMap(checkImage));
  });

  test.each([
    "node",
    "node:latest",
    "registry.example.com:5000/node",
    "node:26.10.0",
    "node@sha256:0",
    "node:26@sha256:0",
  ])("%s fails", (image) => expect(checkImage(image)).toHaveLength(1));

  test("an image with a version and a digest passes", () => {
    expect(checkImage(`registry.example.com:5000/node:26.10.0@sha256:${"0".repeat(64)}`)).toEqual([]);
  });

  function findImages(value: unknown): string[] {
    if (typeof value !== "object" || value === null) return [];
    return Object.entries(value).flatMap(([key, inner]) =>
      key === "image" && typeof inner === "string" ? inner : findImages(inner),
    );
  }
});

describe("the development container", () => {
  const container = { image: `a:1.0.0@sha256:${"0".repeat(64)}`, features: { "a/b:1.0.0": { version: "1.0.0" } } };

  test("pins its image, its features and what they install", () => {
    expectNone(checkDevContainer(JSON.parse(read(".devcontainer/devcontainer.json"))));
  });

  test.each([
    ["an image by tag", { ...container, image: "a:1.0.0" }],
    ["a feature by its major version", { ...container, features: { "a/b:1": { version: "1.0.0" } } }],
    ["a feature without a version", { ...container, features: { "a/b:1.0.0": {} } }],
    ["a tool by its minor version", { ...container, features: { "a/b:1.0.0": { version: "1.26" } } }],
    ["a floating command", { ...container, onCreateCommand: "az bicep install" }],
  ])("%s fails", (_, bad) => {
    expect(checkDevContainer(bad)).toHaveLength(1);
    expect(checkDevContainer(container)).toEqual([]);
  });
});

describe("commands", () => {
  test("scripts of the repository pin what they install", () => {
    const scripts = [
      ...list("*.sh", ".ci/run").map(read),
      ...Object.values<string>(JSON.parse(read("package.json")).scripts),
    ];
    expectNone(scripts.flatMap(checkShell));
  });

  test("pages pin what their commands install", () => {
    const blocks = list("*.md").flatMap(readBlocks);
    expect(blocks.length).toBeGreaterThan(20);
    expectNone(blocks.flatMap(({ command }) => checkShell(command)));
  });

  test.each([
    "curl -fsSL https://example.com/install.sh | sudo bash",
    "wget -qO- https://example.com/install.py | python3 -",
    "npx cowsay",
    "npm exec -- cowsay",
    "npm install --save-dev cowsay@latest",
    "npm install cowsay",
    "npm i cowsay@1",
    "python3 -m pip install checkov==3.3.30",
    "go install example.com/tool/cmd",
    "go run example.com/tool/cmd@main",
    "helm upgrade --install dapr dapr --repo https://dapr.github.io/helm-charts",
    "helm install a b \\\n  --wait",
    "az extension add --name containerapp",
    "az bicep install",
    "az aks install-cli",
    "az aks install-cli --client-version 1.36.2",
    "azd extension install demo",
    "spin plugins install kube",
    "kubectl apply -f https://raw.githubusercontent.com/argoproj/argo-rollouts/master/manifests/install.yaml",
    "docker run nginx:latest",
  ])("%s fails", (command) => expect(checkShell(command)).toHaveLength(1));

  test.each([
    "curl http://127.0.0.1:8080/readyz | head",
    "npx vitest run --project suite",
    "npm ci --ignore-scripts",
    "npm install NAME@VERSION",
    "pip install --require-hashes --requirement requirements.txt",
    "go install example.com/tool@v1.2.3",
    "go build -o /dev/null .",
    "helm upgrade --install a b \\\n  --version 1.18.2",
    "# docker run nginx:latest",
  ])("%s passes", (command) => expect(checkShell(command)).toEqual([]));
});

describe("programs that code downloads", () => {
  const verified = {
    "https://github.com/dapr/dapr/releases/download": "tools/daprd/releases.json has the SHA-256",
    "https://api.github.com/repos/Azure/bicep/releases/tags":
      "test/support/bicep.ts compares with the SHA-256 that GitHub computed when the file was published",
    "https://raw.githubusercontent.com/Azure/azure-dev":
      "test/support/azure-yaml-schema.ts has the commit and the SHA-256",
  };

  test("come from known places, each of which is verified", () => {
    const code = list("tools/**/*.ts", "tools/**/*.mjs", "test/support/*.ts", "stand-ins/**/*.ts", "services/**/*.ts");
    const downloads = code
      .filter((file) => file !== "test/support/floating.ts")
      .flatMap((file) => findDownloads(read(file)));
    expect(new Set(downloads)).toEqual(new Set(Object.keys(verified)));
  });

  test.each(["https://github.com/a/b/releases/download/v1/a", "https://dl.k8s.io/v1/kubectl", "https://get.helm.sh/x"])(
    "%s in code is found, in a comment it is not",
    (url) => {
      expect(findDownloads(`const url = "${url}"; // https://github.com/docs`)).toEqual([url]);
      expect(findDownloads(`// ${url}\n/** ${url} */`)).toEqual([]);
    },
  );

  test("Python packages have hashes, and each is a version", () => {
    const files = list("test/support/python/*.txt");
    expect(files).toHaveLength(7);
    for (const file of files) {
      const requirements = read(file)
        .replaceAll("\\\n", "")
        .split("\n")
        .filter((line) => /^\w/.test(line));
      expect(requirements.filter((line) => !/^[\w.-]+==\S+ .*--hash=sha256:[0-9a-f]{64}/.test(line))).toEqual([]);
      expect(read(file)).toContain(read(file.replace(".txt", ".in")).trim());
      expect(read(file)).not.toContain("://");
    }
  });

  test("Go modules have a go.sum, and no file of the repository turns its checks off", () => {
    for (const file of list("*go.mod")) {
      if (/^(require|tool) /m.test(read(file)))
        expect(existsSync(join(root, dirname(file), "go.sum")), file).toBe(true);
    }
    const settings = /GONOSUMDB|GONOSUMCHECK|GOINSECURE|GOPRIVATE|GOSUMDB|GOFLAGS|-mod=mod\b/;
    const code = list("*.ts", "*.mjs", "*.sh", "*.yml", "*.yaml", "*Dockerfile", ".ci/run", "package.json");
    expect(code.filter((file) => file !== "test/supply-chain.test.ts" && settings.test(read(file)))).toEqual([]);
  });
});

describe("Renovate", () => {
  const good = {
    extends: ["helpers:pinGitHubActionDigestsToSemver", "docker:pinDigests"],
    minimumReleaseAge: "7 days",
  };

  test("keeps pins and digests, waits for days, and merges nothing by itself", () => {
    expectNone(checkRenovate(read(".github/renovate.json")));
  });

  test.each([
    ["action pins", { ...good, extends: ["docker:pinDigests"] }],
    ["image digests", { ...good, extends: ["helpers:pinGitHubActionDigestsToSemver"] }],
    ["a release age", { ...good, minimumReleaseAge: undefined }],
    ["more than a day of release age", { ...good, minimumReleaseAge: "1 days" }],
    ["digests of some images", { ...good, packageRules: [{ matchPackageNames: ["a"], pinDigests: false }] }],
    ["exact versions", { ...good, rangeStrategy: "replace" }],
    ["exact versions of some packages", { ...good, packageRules: [{ extends: [":preserveSemverRanges"] }] }],
    ["reviews", { ...good, automerge: true }],
  ])("fails without %s", (_, bad) => {
    expect(checkRenovate(JSON.stringify(bad, null, 2))).toHaveLength(1);
    expect(checkRenovate(JSON.stringify(good, null, 2))).toEqual([]);
  });
});

test("every exception is needed", () => {
  expect(Object.keys(exceptions).filter((fault) => !found.includes(fault))).toEqual([]);
});

test("the lock file is the one that .npmrc asks for, whatever a user's own settings are", () => {
  expect(parse(read(".npmrc").replaceAll("=", ": "))).toEqual({
    "save-exact": true,
    "omit-lockfile-registry-resolved": false,
  });
});
