// Tests the workflow that deploys from GitHub: .github/workflows/azure-dev.yml.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { projects, readProject } from "../support/azd.ts";
import { root } from "../support/processes.ts";

interface Job {
  readonly needs?: string;
  readonly environment?: string;
  readonly concurrency?: string;
  readonly permissions?: object;
  readonly steps: readonly { readonly run?: string; readonly uses?: string; readonly "continue-on-error"?: boolean }[];
}

// `azd pipeline config` looks for this name only:
// https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/pipeline/pipeline.go (pipelineFileNames)
const workflow: {
  readonly on: unknown;
  readonly permissions: object;
  readonly concurrency?: string;
  readonly env: Readonly<Record<string, string>>;
  readonly jobs: { readonly preview: Job; readonly approve: Job; readonly deploy: Job };
} = parse(readFileSync(join(root, ".github/workflows/azure-dev.yml"), "utf8"));
const { preview, approve, deploy } = workflow.jobs;
const commands = (job: Job) => job.steps.flatMap(({ run }) => run ?? []);

/** The value of a variable of the workflow. JavaScript and GitHub evaluate its operators in the same way. */
function readVariable(name: string, vars: Readonly<Record<string, string>>): unknown {
  const [, expression = "undefined"] = /^\$\{\{ (.+) \}\}$/.exec(workflow.env[name] ?? "") ?? [];
  return runInNewContext(expression, { vars });
}

describe("azure-dev.yml", () => {
  test("signs azd in with OIDC, has no other permission than to read the repository, and never signs az in", () => {
    expect(workflow.permissions).toEqual({ contents: "read", "id-token": "write" });
    for (const job of [preview, deploy]) {
      expect(commands(job)).toContain(
        'azd auth login --client-id "$AZURE_CLIENT_ID" --tenant-id "$AZURE_TENANT_ID" --federated-credential-provider github',
      );
      expect(job).not.toHaveProperty("permissions");
      expect(job.steps.filter(({ uses, run }) => uses?.startsWith("azure/login") || run?.includes("az login"))).toEqual(
        [],
      );
    }
  });

  test("reads the outputs of the last deployment before it previews and deploys, and goes on without any", () => {
    const refresh = { run: 'azd env refresh --no-prompt --cwd "$AZD_FOLDER"', "continue-on-error": true };
    for (const job of [preview, deploy]) expect(job.steps.at(-2)).toEqual(refresh);
  });

  test("passes DEMO_SECRET as its only secret", () => {
    const secrets = Object.entries(workflow.env).filter(([, value]) => value.includes("secrets."));
    expect(secrets.map(([name]) => name)).toEqual(["DEMO_SECRET"]);
  });

  test.each(Object.keys(projects))(
    "passes every variable and secret that azd copies from the project in %s",
    (folder) => {
      const { variables, secrets } = readProject(join(root, folder)).pipeline;
      // azd sets these five without being told: pkg/pipeline/github_provider.go (setPipelineVariables)
      const always = ["CLIENT_ID", "ENV_NAME", "LOCATION", "SUBSCRIPTION_ID", "TENANT_ID"].map(
        (name) => `AZURE_${name}`,
      );
      for (const name of [...always, ...variables]) {
        expect(readVariable(name, { AZD_FOLDER: folder, [name]: "value" }), name).toBe("value");
      }
      for (const name of secrets) expect(workflow.env[name]).toBe(`\${{ secrets.${name} }}`);
    },
  );

  test("passes MY_ADDRESS to Container Apps only, because on AKS it would close the API server to the runner", () => {
    const MY_ADDRESS = "203.0.113.7";
    expect(readVariable("MY_ADDRESS", { MY_ADDRESS })).toBe(MY_ADDRESS);
    expect(readVariable("MY_ADDRESS", { MY_ADDRESS, AZD_FOLDER: "infra/azd/aks" })).toBe("");
  });

  test("names the kind of its principal, which azd does not set for .bicepparam files", () => {
    expect(workflow.env.AZURE_PRINCIPAL_TYPE).toBe("ServicePrincipal");
  });

  test("starts only by hand, so that no pull request can run a job of it", () => {
    expect(workflow.on).toBe("workflow_dispatch");
  });

  test("previews, waits for the approval, whose job alone has an environment, and deploys once at a time", () => {
    expect(Object.keys(workflow.jobs)).toEqual(["preview", "approve", "deploy"]);
    expect(preview).not.toHaveProperty("needs");
    expect(commands(preview).at(-1)).toBe('azd provision --preview --no-prompt --cwd "$AZD_FOLDER"');
    expect(approve).toMatchObject({ needs: "preview", environment: "azure", permissions: {} });
    expect(deploy).toMatchObject({ needs: "approve", concurrency: "azure-dev" });
    for (const job of Object.values(workflow.jobs)) expect(job).not.toHaveProperty("if"); // a skipped job would not block
    // The subject of a token names the environment, and azd creates credentials only for branches and pull requests:
    // https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/pipeline/github_provider.go (credentialOptions)
    for (const job of [preview, deploy]) expect(job).not.toHaveProperty("environment");
    expect(workflow).not.toHaveProperty("concurrency"); // one that waits for an approval would block all others
    expect(commands(deploy).at(-1)).toBe('azd up --no-prompt --cwd "$AZD_FOLDER"');
  });
});

test("no workflow that a pull request starts can sign in to Azure or read a secret of the repository", () => {
  const folder = join(root, ".github/workflows");
  const started = readdirSync(folder)
    .map((file) => readFileSync(join(folder, file), "utf8"))
    .filter((text) => /pull_request/.test(JSON.stringify(parse(text).on)));
  expect(started.length).toBeGreaterThan(0);
  for (const text of started) expect(text).not.toMatch(/id-token|secrets\.(?!GITHUB_TOKEN)|write-all|azd /);
});
