// Tests the azd projects for Container Apps and AKS, and their hooks.
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import Type from "typebox";
import { Value } from "typebox/value";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { root } from "../support/processes.ts";

/**
 * The part of the published schema that the two projects use.
 * https://github.com/Azure/azure-dev/blob/main/schemas/v1.0/azure.yaml.json
 */
const strictly = { additionalProperties: false };
const Hook = Type.Object({ shell: Type.Enum(["sh", "pwsh"]), run: Type.String() }, strictly);
const Hooks = Type.Union([Hook, Type.Array(Hook)]);
const AzureYaml = Type.Object(
  {
    name: Type.String({ minLength: 2, pattern: "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" }),
    infra: Type.Object({ path: Type.String(), module: Type.String() }, strictly),
    hooks: Type.Object({ preprovision: Type.Optional(Hooks), postprovision: Type.Optional(Hooks) }, strictly),
    workflows: Type.Object(
      {
        up: Type.Object(
          { steps: Type.Array(Type.Object({ azd: Type.String() }, strictly), { minItems: 1 }) },
          strictly,
        ),
      },
      strictly,
    ),
    pipeline: Type.Optional(Type.Object({ provider: Type.Enum(["github", "azdo"]) }, strictly)),
  },
  strictly,
);

describe.each([
  ["azure.yaml", "containerapps"],
  ["infra/azd/aks/azure.yaml", "aks"],
])("%s", (file, module) => {
  const text = readFileSync(join(root, file), "utf8");
  const project = parse(text);
  const from = dirname(join(root, file));

  test("has only fields that the schema of azure.yaml allows, and links to the schema", () => {
    expect([...Value.Errors(AzureYaml, project)]).toEqual([]);
    expect(text).toMatch(
      /^# yaml-language-server: \$schema=https:\/\/raw\.githubusercontent\.com\/Azure\/azure-dev\/main\//,
    );
  });

  test("refers to a parameter file and to hooks that exist", () => {
    expect(project.infra.module).toBe(module);
    expect(existsSync(join(from, project.infra.path, `${module}.bicepparam`))).toBe(true);
    for (const { run } of Object.values(project.hooks).flat() as { run: string }[]) {
      expect(readFileSync(join(from, run), "utf8")).toMatch(/^#!\/bin\/sh\n/);
    }
  });
});

test("deploy.yml signs in with OIDC and sets every variable that the parameter file requires", () => {
  const { permissions, jobs } = parse(readFileSync(join(root, ".github/workflows/deploy.yml"), "utf8"));
  expect(permissions).toEqual({ contents: "read", "id-token": "write" });
  const secrets = Object.entries(jobs.deploy.env).filter(([, value]) => String(value).includes("secrets."));
  expect(secrets.map(([name]) => name)).toEqual(["DEMO_SECRET"]);
  const parameters = readFileSync(join(root, "infra/bicep/parameters/containerapps.bicepparam"), "utf8");
  for (const [, name] of parameters.matchAll(/readEnvironmentVariable\('(\w+)'\)/g)) {
    expect(jobs.deploy.env).toHaveProperty([name ?? ""]);
  }
});

describe("azd hooks", () => {
  const folder = mkdtempSync(join(tmpdir(), "azd-hooks-"));
  const calls = join(folder, "calls");

  /** Installs a program that records its arguments and runs the script. */
  function installFake(name: string, script = "") {
    const file = join(folder, "bin", name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `#!/bin/sh\necho "${name} $*" >>${calls}\n${script}\n`);
    chmodSync(file, 0o755);
  }
  function run(hook: string, env: Record<string, string> = {}) {
    const PATH = `${join(folder, "bin")}:${process.env.PATH}`;
    execFileSync("sh", [join(root, hook)], { cwd: join(root, "infra/azd/aks"), env: { PATH, ...env }, stdio: "pipe" });
    return readFileSync(calls, "utf8").trimEnd().split("\n");
  }

  beforeEach(() => writeFileSync(calls, ""));
  afterEach(() => rmSync(join(folder, "bin"), { recursive: true, force: true }));
  afterAll(() => rmSync(folder, { recursive: true }));

  test("images.sh does nothing without a registry", () => {
    installFake("az");
    installFake("azd");
    expect(run("infra/azd/images.sh")).toEqual([""]);
  });

  test("images.sh builds the missing images of the commit and sets their tag in azd", () => {
    installFake(
      "az",
      'case "$*" in "acr repository show"*group-lister:*) exit 0 ;; "acr repository show"*) exit 1 ;; esac',
    );
    installFake("azd");
    const commit = execFileSync("git", ["rev-parse", "--short=12", "HEAD"], { cwd: root, encoding: "utf8" }).trim();
    const recorded = run("infra/azd/images.sh", {
      AZURE_CONTAINER_REGISTRY_ENDPOINT: "crsamples.azurecr.io",
      AZURE_ENV_NAME: "samples",
    });
    const build = (service: string) =>
      `az acr build --registry crsamples --build-arg SERVICE=${service} --image ${service}:g${commit} ${root.replace(/\/$/, "")}`;
    expect(recorded.filter((call) => !call.includes("acr repository show"))).toEqual([
      build("state-api"),
      build("welcome"),
      `azd env set TAG g${commit} --environment samples`,
    ]);
  });

  test("apply.sh applies a copy of the AKS overlay, with the outputs of the deployment, to its cluster", () => {
    installFake("az");
    installFake("kubelogin");
    installFake("kubectl", `if [ "$1" = apply ]; then cp -R "$3" ${folder}/applied; fi`);
    const outputs = {
      AZURE_TENANT_ID: "tenant",
      GROUP_LISTER_CLIENT_ID: "lister",
      STATE_API_CLIENT_ID: "state",
      WELCOME_CLIENT_ID: "welcome",
      COSMOS_URL: "https://account.documents.azure.com:443/",
      AZURE_KEY_VAULT_NAME: "kv-samples",
      KEY_VAULT_ADDON_CLIENT_ID: "addon",
    };
    const recorded = run("infra/azd/aks/apply.sh", {
      ...outputs,
      AZURE_CONTAINER_REGISTRY_ENDPOINT: "crsamples.azurecr.io",
      AZURE_RESOURCE_GROUP: "rg-samples",
      AZURE_AKS_CLUSTER_NAME: "aks-samples",
      TAG: "g123",
    });
    expect(recorded[0]).toMatch(/^az aks get-credentials --resource-group rg-samples --name aks-samples --file \S+$/);
    expect(recorded.map((call) => call.split(" ", 2).join(" "))).toEqual([
      "az aks",
      "kubelogin convert-kubeconfig",
      "kubectl apply",
      "kubectl wait",
    ]);
    const applied = (file: string) => parse(readFileSync(join(folder, "applied", file), "utf8"));
    expect(applied("settings.yaml").data).toMatchObject(outputs);
    expect(applied("kustomization.yaml").images).toEqual(
      ["state-api", "group-lister", "welcome"].map((name) => ({
        name,
        newName: `crsamples.azurecr.io/${name}`,
        newTag: "g123",
      })),
    );
  });
});
