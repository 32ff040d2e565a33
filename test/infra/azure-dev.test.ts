// Tests the workflows of .github/workflows: who can sign in to Azure, what they can run beside the token, and what
// azure-dev.yml does. Also tests the identity that azure-dev.yml signs in as: infra/bicep/deployer.bicep.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { at, textAt } from "../support/at.ts";
import { projects, readProject } from "../support/azd.ts";
import { findBicepOrSkip } from "../support/bicep.ts";
import { evaluateValue, isMet } from "../support/expressions.ts";
import { makePlans, type Plans, shipped } from "../support/plans.ts";
import { root } from "../support/processes.ts";

interface Step {
  readonly run?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly env?: Readonly<Record<string, string>>;
  readonly "continue-on-error"?: boolean;
}

interface Job {
  readonly needs?: string;
  readonly if?: string;
  readonly environment?: string | undefined;
  readonly concurrency?: unknown;
  readonly permissions?: Readonly<Record<string, string>>;
  readonly uses?: string;
  readonly steps?: readonly Step[];
}

interface Workflow {
  readonly on: unknown;
  readonly permissions?: Readonly<Record<string, string>> | undefined;
  readonly concurrency?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly jobs: Readonly<Record<string, Job>>;
}

const folder = join(root, ".github/workflows");
const files = readdirSync(folder);
const read = (file: string): Workflow => parse(readFileSync(join(folder, file), "utf8"));
const commands = (job: Job | undefined) => (job?.steps ?? []).flatMap(({ run }) => run ?? []);

const secret = (name: string) => `\${{ secrets.${name} }}`;

/** Actions that may run in a job that can get a token for Azure. */
const trusted = ["actions/checkout", "Azure/setup-azd"];
/**
 * The environments that Azure trusts, and the events that may start their jobs. Each environment admits only main.
 * workflow_run and schedule run the files of main. workflow_dispatch runs those of the branch that a person chooses,
 * which the environment then refuses. A tag or a pull request would bring files that nobody has reviewed.
 */
const environments: Readonly<Record<string, readonly string[]>> = {
  azure: ["workflow_dispatch"],
  release: ["workflow_dispatch", "workflow_run", "schedule"],
  "release-approval": ["workflow_dispatch", "workflow_run", "schedule"],
  "release-watchdog": ["workflow_dispatch", "workflow_run", "schedule"],
};
/** A run that a workflow of this repository may follow, and runs that may call themselves the same. */
const followed = {
  conclusion: "success",
  event: "push",
  path: ".github/workflows/publish.yml",
  head_repository: { full_name: "contoso/samples" },
};
const hostile: Readonly<Record<string, object>> = {
  "of a fork": { head_repository: { full_name: "mallory/samples" } },
  "of a pull request": { event: "pull_request" },
  "of another file": { path: ".github/workflows/other.yml" },
  "that failed": { conclusion: "failure" },
};
const unwanted = Object.entries(hostile).map(([kind, more]) => [kind, { ...followed, ...more }] as const);

/** Commands that read the parameter file, which contains DEMO_SECRET. */
const needSecret = /^azd (env refresh|provision|up) /;

const eventsOf = (on: unknown) =>
  typeof on === "string" ? [on] : Array.isArray(on) ? on.map(String) : Object.keys(on ?? {});

/**
 * Whether a job starts after this run of the workflow that its own workflow follows. A job that needs another one
 * starts only after it, if its condition calls no function such as always().
 */
function startsAfter(jobs: Workflow["jobs"], name: string, run: object): boolean {
  const { needs, if: condition = "true" } = jobs[name] ?? {};
  const isStatus = /\b(always|cancelled|failure|success)\(/.test(condition);
  if (needs !== undefined && !isStatus && !startsAfter(jobs, needs, run)) return false;
  const outputs = { hold: "confirm" };
  return (
    isStatus ||
    isMet(condition, {
      github: { event_name: "workflow_run", repository: "contoso/samples", event: { workflow_run: run } },
      inputs: { command: "", app: "", image: "" },
      needs: needs === undefined ? {} : { [needs]: { outputs } },
      vars: { RELEASE_ON_PUBLISH: "welcome", RELEASE_WATCHDOG: '["welcome"]' },
    })
  );
}

/** The environments that a job runs in, by its event and its inputs. */
function environmentsOf({ environment = "" }: Job): string[] {
  const inputs = ["run", "promote", "abort", ""].flatMap((command) => [
    { command, image: "" },
    { command, image: "ghcr.io/contoso/samples/welcome:1.0.0" },
  ]);
  return [...new Set(inputs.map((given) => String(evaluateValue(environment, { inputs: given }))))];
}

/** Returns what lets an unreviewed change sign in to Azure or read a secret; [] for a sound workflow. */
function findFaults({ on, permissions, env, jobs }: Workflow): string[] {
  const faults: string[] = [];
  const readsSecret = (value: unknown) => /secrets\b/.test(JSON.stringify(value ?? ""));
  const writes = (granted: Workflow["permissions"]) =>
    typeof granted !== "object" || Object.values(granted).some((level) => level !== "read" && level !== "none");
  if (writes(permissions)) faults.push("the workflow grants more than to read, or does not limit its permissions");
  if (readsSecret(env)) faults.push("every job gets a secret");
  for (const [name, job] of Object.entries(jobs)) {
    const { "id-token": token, ...others } = job.permissions ?? {};
    const signsIn = token !== undefined || /azure\/login|\baz(d auth)? login/i.test(JSON.stringify(job));
    if (job.permissions !== undefined && writes(others)) faults.push(`${name} grants more than to read`);
    const admitted = environmentsOf(job).map((environment) => environments[environment]);
    if ((signsIn || readsSecret(job)) && admitted.includes(undefined))
      faults.push(`${name} has no environment of main`);
    const isAdmitted = (event: string) => admitted.every((events = ["workflow_dispatch"]) => events.includes(event));
    if (signsIn && !eventsOf(on).every(isAdmitted)) faults.push(`${name} can start with files that nobody reviewed`);
    for (const [kind, run] of eventsOf(on).includes("workflow_run") && (signsIn || readsSecret(job)) ? unwanted : []) {
      if (startsAfter(jobs, name, run)) faults.push(`${name} starts after a run ${kind}`);
    }
    const { steps = [], ...rest } = job;
    if (rest.uses !== undefined) faults.push(`${name} calls another workflow`);
    if (readsSecret(rest)) faults.push(`every step of ${name} gets a secret`);
    for (const step of steps) {
      const [action = "", version] = step.uses?.split("@") ?? [];
      if (step.uses !== undefined && !/^[0-9a-f]{40}$/.test(version ?? "")) faults.push(`${action} is not pinned`);
      if (step.uses !== undefined && signsIn && !trusted.includes(action)) faults.push(`${action} sees the token`);
      if (action === "actions/checkout" && step.with?.["persist-credentials"] !== false)
        faults.push(`${name} keeps the token of GitHub`);
      if (readsSecret(step) && !needSecret.test(step.run ?? "")) faults.push(`${step.run ?? action} gets a secret`);
      if (/\$\{\{[^}]*(github\.event|head_ref|inputs\.)/.test(step.run ?? "")) faults.push(`${name} runs its input`);
    }
  }
  return faults;
}

/**
 * The token of this job starts the release workflow of main, for the approval of the next step. It signs in nowhere.
 */
const releasing = ["ask-again grants more than to read"];
/**
 * What publish.yml needs to publish images: rights in GitHub, and a token to sign with. Azure refuses that token, whose
 * environment is publish. test/publish.test.ts tests the rights.
 */
const publishing = [
  "build grants more than to read",
  "publish grants more than to read",
  "publish has no environment of main",
  "publish can start with files that nobody reviewed",
  "actions/setup-go sees the token",
  ...Array(3).fill("actions/attest sees the token"),
  "announce grants more than to read",
];

describe("workflows", () => {
  test.each(files)("no unreviewed change can sign in to Azure or read a secret through %s", (file) => {
    const known: Readonly<Record<string, string[]>> = { "publish.yml": publishing, "release.yml": releasing };
    expect(findFaults(read(file))).toEqual(known[file] ?? []);
  });

  test("release.yml starts after publish.yml has published the images of a tag of this repository", () => {
    const { jobs } = read("release.yml");
    expect(Object.keys(jobs).filter((name) => startsAfter(jobs, name, followed))).toEqual([
      "release",
      "approve",
      "ask-again",
    ]);
  });

  test.each(files)("%s names the version of each action beside its commit", (file) => {
    for (const line of readFileSync(join(folder, file), "utf8").match(/uses: .+/g) ?? [])
      expect(line).toMatch(/^uses: [\w.-]+\/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/);
  });

  const checkout = `actions/checkout@${"a".repeat(40)}`;
  const sound: Workflow = {
    on: "workflow_dispatch",
    permissions: {},
    jobs: {
      deploy: {
        environment: "azure",
        permissions: { contents: "read", "id-token": "write" },
        steps: [
          { uses: checkout, with: { "persist-credentials": false } },
          { run: "azd auth login --federated-credential-provider github" },
          { run: "azd up --no-prompt", env: { DEMO_SECRET: secret("DEMO_SECRET") } },
        ],
      },
    },
  };
  const change = (job: Partial<Job>): Workflow => {
    const { deploy } = sound.jobs;
    return { ...sound, jobs: { deploy: { ...(deploy as Job), ...job } } };
  };
  const addStep = (step: Step) => change({ steps: [...(sound.jobs.deploy?.steps ?? []), step] });

  const guarded = [
    "github.event.workflow_run.conclusion == 'success'",
    "github.event.workflow_run.event == 'push'",
    "github.event.workflow_run.path == '.github/workflows/publish.yml'",
    "github.event.workflow_run.head_repository.full_name == github.repository",
  ];
  const follow = (conditions: readonly string[]): Workflow => ({
    ...change({ environment: "release", if: conditions.join(" && ") }),
    on: { workflow_run: { workflows: ["publish"] } },
  });

  test.each([
    [0, "that failed"],
    [1, "of a pull request"],
    [2, "of another file"],
    [3, "of a fork"],
  ])(
    "a workflow that follows another one without condition %i is reported: it starts after a run %s",
    (index, kind) => {
      expect(findFaults(follow(guarded))).toEqual([]);
      expect(findFaults(follow(guarded.toSpliced(index, 1)))).toEqual([`deploy starts after a run ${kind}`]);
      expect(findFaults(follow(["always()"]))).toHaveLength(4);
    },
  );

  test.each<[string, Workflow, string]>([
    ["no environment", change({ environment: undefined }), "deploy has no environment of main"],
    ["another environment", change({ environment: "preview" }), "deploy has no environment of main"],
    [
      "another environment for one command",
      change({ environment: "$" + "{{ inputs.command == 'abort' && 'preview' || 'azure' }}" }),
      "deploy has no environment of main",
    ],
    [
      "a start by a pull request",
      { ...sound, on: { pull_request: null } },
      "deploy can start with files that nobody reviewed",
    ],
    ["a start by a schedule", { ...sound, on: { schedule: [] } }, "deploy can start with files that nobody reviewed"],
    [
      "a start of a release by a tag",
      { ...change({ environment: "release" }), on: { push: { tags: ["v*"] } } },
      "deploy can start with files that nobody reviewed",
    ],
    [
      "a start by a push",
      { ...sound, on: ["workflow_dispatch", "push"] },
      "deploy can start with files that nobody reviewed",
    ],
    [
      "a token for every job",
      { ...sound, permissions: { "id-token": "write" } },
      "the workflow grants more than to read, or does not limit its permissions",
    ],
    [
      "the permissions of the repository's default",
      { ...sound, permissions: undefined },
      "the workflow grants more than to read, or does not limit its permissions",
    ],
    ["the right to push", change({ permissions: { contents: "write" } }), "deploy grants more than to read"],
    ["a secret for every job", { ...sound, env: { S: secret("S") } }, "every job gets a secret"],
    [
      "an action with a tag",
      addStep({ uses: "actions/checkout@v5", with: { "persist-credentials": false } }),
      "actions/checkout is not pinned",
    ],
    ["a third-party action", addStep({ uses: `a/b@${"a".repeat(40)}` }), "a/b sees the token"],
    ["a token in .git/config", addStep({ uses: checkout }), "deploy keeps the token of GitHub"],
    ["a secret for a script", addStep({ run: "npm ci", env: { S: secret("S") } }), "npm ci gets a secret"],
    ["a call of another workflow", change({ uses: "./other.yml" }), "deploy calls another workflow"],
    ["a title in a script", addStep({ run: `echo \${{ github.event.issue.title }}` }), "deploy runs its input"],
  ])("a workflow with %s is reported", (_, workflow, fault) => {
    expect(findFaults(sound)).toEqual([]);
    expect(findFaults(workflow)).toEqual([fault]);
  });
});

describe("azure-dev.yml", () => {
  // `azd pipeline config` looks for this name only:
  // https://github.com/Azure/azure-dev/blob/main/cli/azd/pkg/pipeline/pipeline.go (pipelineFileNames)
  const workflow = read("azure-dev.yml");
  const { preview, deploy } = workflow.jobs;

  /** The value of a variable of the workflow. */
  function readVariable(name: string, vars: Readonly<Record<string, string>>): unknown {
    return evaluateValue(workflow.env?.[name] ?? "", { vars });
  }

  test("signs azd in with OIDC, and never signs az in", () => {
    for (const job of [preview, deploy]) {
      expect(job?.permissions).toEqual({ contents: "read", "id-token": "write" });
      expect(commands(job)).toContain(
        'azd auth login --client-id "$AZURE_CLIENT_ID" --tenant-id "$AZURE_TENANT_ID" --federated-credential-provider github',
      );
      expect(JSON.stringify(job)).not.toMatch(/azure\/login|az login/i);
    }
  });

  test("reads the outputs of the last deployment before it previews and deploys, and goes on without any", () => {
    const refresh = { run: 'azd env refresh --no-prompt --cwd "$AZD_FOLDER"', "continue-on-error": true };
    for (const job of [preview, deploy]) expect(job?.steps?.at(-2)).toMatchObject(refresh);
  });

  test("passes DEMO_SECRET, and no other secret, to each command that compiles the parameter file", () => {
    const steps = Object.values(workflow.jobs).flatMap(({ steps = [] }) => steps);
    const compiling = steps.filter(({ run }) => needSecret.test(run ?? ""));
    expect(compiling).toHaveLength(4);
    for (const step of compiling) expect(step.env).toEqual({ DEMO_SECRET: secret("DEMO_SECRET") });
  });

  test.each(Object.keys(projects))(
    "passes every variable that azd copies from the project in %s, which copies no secret",
    (folder) => {
      const { variables, secrets } = readProject(join(root, folder)).pipeline;
      for (const name of variables) {
        expect(readVariable(name, { AZD_FOLDER: folder, [name]: "value" }), name).toBe("value");
      }
      expect(secrets).toBeUndefined(); // azd makes them secrets of the repository, without an environment
      // Only these five sign in and find the subscription; azd sets none of them where it creates no identity.
      const needed = ["CLIENT_ID", "ENV_NAME", "LOCATION", "SUBSCRIPTION_ID", "TENANT_ID"];
      expect(variables).toEqual(expect.arrayContaining(needed.map((name) => `AZURE_${name}`)));
    },
  );

  test("passes MY_ADDRESS to Container Apps only, because on AKS it would close the API server to the runner", () => {
    const MY_ADDRESS = "203.0.113.7";
    expect(readVariable("MY_ADDRESS", { MY_ADDRESS })).toBe(MY_ADDRESS);
    expect(readVariable("MY_ADDRESS", { MY_ADDRESS, AZD_FOLDER: "infra/azd/aks" })).toBe("");
  });

  test("names the kind of its principal, which azd does not set for .bicepparam files", () => {
    expect(workflow.env?.AZURE_PRINCIPAL_TYPE).toBe("ServicePrincipal");
  });

  test("previews, then deploys once at a time, each after an approval", () => {
    expect(Object.keys(workflow.jobs)).toEqual(["preview", "deploy"]);
    expect(preview).not.toHaveProperty("needs");
    expect(commands(preview).at(-1)).toBe('azd provision --preview --no-prompt --cwd "$AZD_FOLDER"');
    expect(deploy).toMatchObject({ needs: "preview", concurrency: "azure-dev" });
    expect(workflow).not.toHaveProperty("concurrency"); // one that waits for an approval would block all others
    expect(commands(deploy).at(-1)).toBe('azd up --no-prompt --cwd "$AZD_FOLDER"');
  });

  test("installs one version of azd, kubectl and kubelogin", () => {
    for (const job of [preview, deploy]) {
      const [azd] = job?.steps?.filter(({ uses }) => uses?.startsWith("Azure/setup-azd@")) ?? [];
      expect(azd?.with?.version).toMatch(/^\d+\.\d+\.\d+$/);
    }
    const [tools] = commands(deploy).filter((command) => command.includes("install-cli"));
    expect(tools).toMatch(/--client-version \d+\.\d+\.\d+ --kubelogin-version \d+\.\d+\.\d+$/);
  });
});

/**
 * Evaluates a condition of a role assignment, as far as deployer.bicep uses the language.
 * https://learn.microsoft.com/azure/role-based-access-control/conditions-format
 */
function evaluate(
  condition: string,
  action: string,
  source: "Request" | "Resource",
  attributes: Readonly<Record<string, string>>,
): boolean {
  const formula = condition
    .replaceAll(/ActionMatches\{'([^']*)'\}/g, (_all, pattern: string) => String(pattern === action))
    .replaceAll(
      /@(\w+)\[Microsoft\.Authorization\/roleAssignments:(\w+)\] ForAnyOf(Any|All)Values:(GuidEquals|GuidNotEquals|StringEqualsIgnoreCase) \{([^}]*)\}/g,
      (_all, from: string, name: string, quantifier: string, operator: string, list: string) => {
        if (from !== source) return "false"; // the other source has no attributes of this action
        const values = list.split(", ").map((item) => item.replaceAll("'", "").toLowerCase());
        const isMatch = (value: string) =>
          (value === attributes[name]?.toLowerCase()) === (operator !== "GuidNotEquals");
        return String(quantifier === "Any" ? values.some(isMatch) : values.every(isMatch));
      },
    )
    .replaceAll(" AND ", " && ")
    .replaceAll(" OR ", " || ");
  expect(formula).toMatch(/^(true|false|[()!&| ])+$/);
  return Boolean(runInNewContext(formula));
}

const path = await findBicepOrSkip();

describe.skipIf(!path)("the identity of deployer.bicep", { timeout: 120_000 }, () => {
  const hosts = ["aks", "containerapps"] as const;
  const assignment = "Microsoft.Authorization/roleAssignments";
  const ids = (text: string) => text.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? [];
  let plans: Plans;
  beforeAll(async () => {
    plans = await makePlans(path ?? "", [...shipped, ...hosts.map((host) => `deployer-${host}`)]);
  }, 120_000);

  const roleOf = (properties: object) => textAt(properties, "roleDefinitionId").split("/").at(-1) ?? "";
  const rolesOf = (plan: string) =>
    plans
      .of(plan)
      .resources.filter(({ type }) => type === assignment)
      .map(({ properties }) => roleOf(properties));

  test.for(hosts)("%s: trusts only the subject of the environment, and a lock keeps it so", (host) => {
    const plan = `deployer-${host}`;
    const { type, properties } = plans.find(
      plan,
      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    );
    expect([type, properties]).toEqual([
      expect.any(String),
      {
        issuer: "https://token.actions.githubusercontent.com",
        subject: "repo:contoso/samples:environment:azure",
        audiences: ["api://AzureADTokenExchange"],
      },
    ]);
    expect(plans.find(plan, "Microsoft.Authorization/locks").properties).toMatchObject({ level: "ReadOnly" });
  });

  test.for([
    ["aks", ["Contributor", "Resource Policy Contributor", "Role Based Access Control Administrator"]],
    ["containerapps", ["Contributor", "Role Based Access Control Administrator"]],
  ] as const)("%s: has exactly the roles that a deployment needs, and is not Owner", ([host, expected]) => {
    const names: Record<string, string> = {
      "b24988ac-6180-42a0-ab88-20f7382dd24c": "Contributor",
      "36243c78-bf99-498c-9df9-86d9f8d28608": "Resource Policy Contributor", // for the policy assignment
      "f58310d9-a9f6-439a-9e8d-f62e7b41a168": "Role Based Access Control Administrator",
    };
    expect(rolesOf(`deployer-${host}`).map((role) => names[role])).toEqual(expected);
  });

  test.for(hosts)("%s: may assign and remove exactly the roles that the parameter files assign, to others", (host) => {
    const conditions = plans
      .of(`deployer-${host}`)
      .resources.flatMap(({ properties }) => at(properties, "condition") ?? []);
    expect(conditions).toHaveLength(1);
    const deployer = "99999999-9999-4999-8999-999999999999";
    const [, text = "", id] = /^\[replace\('(.*)', 'DEPLOYER', (.*)\)\]$/.exec(String(conditions[0])) ?? [];
    expect(id).toMatch(/^reference\(.*format\('identity-.*outputs\.principalId\.value$/);
    const condition = text.replaceAll("''", "'").replaceAll("DEPLOYER", deployer);

    const assigned = shipped.filter((plan) => plan.startsWith("aks") === (host === "aks")).flatMap(rolesOf);
    // LISTED=subscription assigns the role of listed=resourceGroup, with a wider scope.
    const expected = [...new Set(assigned)];
    const clusterAdmin = "b1ff04bb-8a4e-4dc4-8eb5-8693973ce19b"; // Azure Kubernetes Service RBAC Cluster Admin
    const others = [
      "8e3af657-a8ff-443c-a75c-2fe8c4bcb635", // Owner
      "00482a5a-887f-4fb3-b363-3b7fe8e74483", // Key Vault Administrator
      clusterAdmin,
      deployer,
    ];
    const roles = [...new Set([...expected, ...ids(condition), ...others])];
    const another = "88888888-8888-4888-8888-888888888888";
    const principals = [
      { PrincipalId: another, PrincipalType: "ServicePrincipal" },
      { PrincipalId: another, PrincipalType: "User" },
      { PrincipalId: another, PrincipalType: "Group" },
      { PrincipalId: deployer, PrincipalType: "ServicePrincipal" },
    ];
    for (const [action, source] of [
      ["write", "Request"],
      ["delete", "Resource"],
    ] as const) {
      const allowed = roles.flatMap((role) =>
        principals
          .map((principal) => ({ RoleDefinitionId: role, ...principal }))
          .filter((attributes) => evaluate(condition, `${assignment}/${action}`, source, attributes)),
      );
      expect(allowed).toEqual(
        expected.map((role) => ({
          RoleDefinitionId: role,
          // The identity that deploys becomes the administrator of the cluster, and can make no other one.
          PrincipalId: role === clusterAdmin ? deployer : another,
          PrincipalType: "ServicePrincipal",
        })),
      );
    }
    expect(evaluate(condition, "Microsoft.Authorization/locks/write", "Request", {})).toBe(true); // the role decides
  });
});
