// Tests the azd projects for Container Apps and AKS: their files, services and hooks.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { Compile } from "typebox/schema";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { at } from "../support/at.ts";
import { imageVariable, listHooks, projects, readProject, resolveHook, runHook } from "../support/azd.ts";
import { findAzureYamlSchemaOrSkip } from "../support/azure-yaml-schema.ts";
import { root } from "../support/processes.ts";

const schema = await findAzureYamlSchemaOrSkip();
const services = ["group-lister", "state-api", "welcome"];
const temporary = mkdtempSync(join(tmpdir(), "azd-test-"));
afterAll(() => rmSync(temporary, { recursive: true }));

describe.skipIf(!schema)("the published schema of azure.yaml", () => {
  const check = (project: unknown) => Compile(schema ?? {}).Errors(project)[1];

  test.each(Object.keys(projects))("accepts azure.yaml in %s, which links to it", (folder) => {
    const text = readFileSync(join(root, folder, "azure.yaml"), "utf8");
    expect(check(parse(text))).toEqual([]);
    expect(text.split("\n", 1)).toEqual([
      "# yaml-language-server: $schema=https://raw.githubusercontent.com/Azure/azure-dev/main/schemas/v1.0/azure.yaml.json",
    ]);
  });

  test.each([
    ["services.welcome.docker", { target: "welcome" }],
    ["services.welcome.docker", { remoteBuild: "yes" }],
    ["services.welcome.hooks.predeploy", { run: undefined }],
    ["services.welcome.k8s", { path: "manifests" }],
    ["pipeline", { provider: "gitlab" }],
    ["requiredVersions", { bicep: ">= 0.30.0" }],
  ])("rejects the AKS project when %s has %j", (path, change) => {
    const project = structuredClone(readProject(join(root, "infra/azd/aks")));
    Object.assign(at(project, path) as object, change);
    expect(check(JSON.parse(JSON.stringify(project)))).not.toEqual([]);
  });
});

describe.each(Object.entries(projects))("azure.yaml in %s", (project, module) => {
  const folder = resolve(root, project);
  const config = readProject(folder);
  const parameters = (name: string) => join(folder, config.infra.path, `${name}.bicepparam`);

  test("provisions a parameter file that exists, of a template of a subscription", () => {
    expect(config.infra.module).toBe(module);
    const using = /^using '(.*)'$/m.exec(readFileSync(parameters(module), "utf8"))?.[1] ?? "";
    expect(readFileSync(resolve(dirname(parameters(module)), using), "utf8")).toContain("targetScope = 'subscription'");
  });

  test("requires the first version of azd that keeps the sources of parallel builds apart", () => {
    expect(config.requiredVersions).toEqual({ azd: ">= 1.25.0" });
  });

  test("builds each service remotely from the Dockerfile of the repository, and selects it with SERVICE", () => {
    expect(Object.keys(config.services).sort()).toEqual(services);
    for (const [name, { docker, language, project }] of Object.entries(config.services)) {
      // azd resolves both paths from the folder of the service.
      expect(resolve(folder, project, docker.path)).toBe(join(root, "Dockerfile"));
      expect(`${resolve(folder, project, docker.context)}/`).toBe(root);
      expect(docker).toMatchObject({ remoteBuild: true, buildArgs: [`SERVICE=${name}`] });
      expect(docker).not.toHaveProperty("target"); // a remote build ignores it
      expect(language).toBe("docker"); // azd rejects a Container App without a language
      expect(existsSync(join(root, "services", name, "server.ts"))).toBe(true);
    }
  });

  test("copies to the pipeline every variable that its parameter files read, except those of azd and of a person", () => {
    const files = [module, ...(module === "aks" ? [] : services)].map(parameters);
    // On AKS, MY_ADDRESS closes the API server to all others, among them the runner.
    const ownAddress = module === "aks" ? ["MY_ADDRESS"] : [];
    // The identity of the workflow cannot assign this role. A deployment without the variables keeps the role.
    // azd builds the images, so it needs no prefix of published ones.
    const ofPerson = ["SECRETS_OFFICER", "SECRETS_OFFICER_TYPE", "IMAGES"];
    const excluded = [...ownAddress, ...ofPerson];
    const needed = files.flatMap(readVariables).filter((name) => !isSetByAzd(name) && !excluded.includes(name));
    const { variables } = config.pipeline;
    // DEMO_SECRET is a secret of the GitHub environment: docs/deploy/azd.md
    expect(variables).toEqual(expect.arrayContaining(needed.filter((name) => name !== "DEMO_SECRET")));
    expect(variables).not.toContain("DEMO_SECRET");
    for (const name of excluded) expect(variables).not.toContain(name);
  });
});

test("Dockerfile takes SERVICE as an argument of its last stage", () => {
  const stages = readFileSync(join(root, "Dockerfile"), "utf8").split(/^FROM /m);
  expect(stages.at(-1)).toMatch(/^ARG SERVICE$/m);
});

test("azd finds a parameter file for each service on Container Apps, with the image of that service", () => {
  const config = readProject(root);
  for (const [name, { host }] of Object.entries(config.services)) {
    expect(host).toBe("containerapp");
    const text = readFileSync(join(root, config.infra.path, `${name}.bicepparam`), "utf8");
    expect(text).toMatch(new RegExp(`^using '../apps/${name}.bicep'$`, "m"));
    expect(text).toContain(`var built = readEnvironmentVariable('${imageVariable(name)}', '')`);
  }
});

test("azd finds the cluster by its name, and the manifests of each service in a folder of its own", () => {
  const config = readProject(join(root, "infra/azd/aks"));
  const outputs = readFileSync(join(root, "infra/bicep/main.bicep"), "utf8");
  expect(outputs).toMatch(/^output AZURE_AKS_CLUSTER_NAME string/m);
  for (const [name, service] of Object.entries(config.services)) {
    expect(service.host).toBe("aks");
    expect(service.resourceName).toMatch(/^\$\{AZURE_AKS_CLUSTER_NAME\}$/);
    expect(service.k8s).toMatchObject({ namespace: "dapr-samples", deploymentPath: `manifests/${name}` });
  }
});

test("azd deploys the services to AKS one after the other, because none has uses", () => {
  for (const service of Object.values(readProject(join(root, "infra/azd/aks")).services)) {
    expect(service).not.toHaveProperty("uses");
  }
});

/** The variables that a parameter file reads. */
function readVariables(file: string): string[] {
  return [...readFileSync(file, "utf8").matchAll(/readEnvironmentVariable\('(\w+)'/g)].map(([, name = ""]) => name);
}

/**
 * azd sets these itself, or they are outputs of main.bicep. It sets AZURE_PRINCIPAL_ID for .bicepparam files, but not
 * AZURE_PRINCIPAL_TYPE, which azure-dev.yml sets:
 * https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/infra/provisioning/bicep/bicep_provider.go (compileBicep)
 */
const isSetByAzd = (name: string) => /^(AZURE_|SERVICE_\w+_IMAGE_NAME$)/.test(name);

describe("azd hooks", () => {
  const all = Object.keys(projects).flatMap((project) =>
    listHooks(resolve(root, project)).map((hook) => ({ ...hook, project })),
  );

  test("exist only for AKS", () => {
    expect(all.map(({ project, name }) => `${project}: ${name}`).sort()).toEqual([
      "infra/azd/aks: postprovision",
      "infra/azd/aks: postprovision",
      "infra/azd/aks: postprovision",
      ...services.map((name) => `infra/azd/aks: predeploy of ${name}`),
    ]);
  });

  test.each(all)("$name in $project resolves to an inline script that names only files that exist", (hook) => {
    const command = resolveHook(hook, resolve(root, hook.project), temporary);
    expect(dirname(command)).toBe(temporary);
    for (const [file] of hook.run.matchAll(/\S+\.(sh|yaml)\b/g)) expect(existsSync(join(hook.cwd, file))).toBe(true);
    expect(hook.shell).toBe("sh");
  });

  test("are refused when they are files outside the folder of azure.yaml, and run unquoted when they are inside", () => {
    const folder = join(temporary, "project");
    mkdirSync(folder);
    writeFileSync(join(folder, "inside.sh"), "");
    writeFileSync(join(temporary, "outside.sh"), "");
    const hook = { run: "../outside.sh", cwd: folder };
    expect(() => resolveHook(hook, folder, temporary)).toThrow("escapes project root");
    expect(resolveHook({ run: "inside.sh", cwd: folder }, folder, temporary)).toBe(join(folder, "inside.sh"));
  });

  test("need no az, no git, no TAG of the user and no program of the repository", () => {
    const texts = all.map(({ run }) => run);
    const folder = join(root, "infra/azd/aks");
    for (const file of readdirSync(folder))
      if (file.endsWith(".sh")) texts.push(readFileSync(join(folder, file), "utf8"));
    const withoutComments = texts.map((text) => text.replaceAll(/(^|\s)#.*/g, ""));
    expect(withoutComments.filter((text) => /\b(git|node|npm|az)\b|\$\{?TAG\b/.test(text))).toEqual([]);
  });

  test("register Microsoft.PolicyInsights in azd's subscription with azd's token, which no argument contains", async () => {
    const bin = join(temporary, "bin");
    const calls = join(temporary, "calls");
    mkdirSync(bin);
    writeFileSync(join(bin, "azd"), "#!/bin/sh\necho secret-token-for $4\n", { mode: 0o755 });
    writeFileSync(join(bin, "curl"), `#!/bin/sh\necho "curl $*" >'${calls}'\ncat >>'${calls}'\n`, { mode: 0o755 });
    const hook = all.find(({ run }) => run.includes("register-policy"));
    if (!hook) throw new Error("no hook runs register-policy.sh");
    expect(hook).toMatchObject({ continueOnError: true });
    const env = { PATH: `${bin}:${process.env.PATH}`, AZURE_SUBSCRIPTION_ID: "11111111-1111-1111-1111-111111111111" };
    await runHook(hook, resolve(root, hook.project), env);
    const [call = "", header] = readFileSync(calls, "utf8").trimEnd().split("\n");
    expect(header).toBe("Authorization: Bearer secret-token-for https://management.azure.com/.default");
    expect(call).not.toContain("secret-token");
    expect(call).toMatch(/^curl .*--fail .*--request POST .*--header @- /);
    // https://learn.microsoft.com/rest/api/resources/providers/register
    expect(call.split(" ").at(-1)).toBe(
      "https://management.azure.com/subscriptions/11111111-1111-1111-1111-111111111111/providers/Microsoft.PolicyInsights/register?api-version=2021-04-01",
    );
  });
});
