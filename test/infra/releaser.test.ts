// .github/workflows/release.yml, whose scripts run with another npm, and the identity that it signs in as:
// infra/bicep/releaser.bicep. test/infra/azure-dev.test.ts tests who can start it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { at, listAt, textAt } from "../support/at.ts";
import { findBicepOrSkip } from "../support/bicep.ts";
import { makePlans, type Plans } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const workflow = parse(readFileSync(join(root, ".github/workflows/release.yml"), "utf8"));
const path = await findBicepOrSkip();
const [withLogs, withoutLogs] = ["releaser", "releaser-without-logs"] as const;

describe.skipIf(!path)("the identity of releaser.bicep", { timeout: 120_000 }, () => {
  let plans: Plans;
  beforeAll(async () => {
    plans = await makePlans(path ?? "", [withLogs, withoutLogs]);
  }, 120_000);

  const ofType = (plan: string, type: string) =>
    plans.of(plan).resources.filter((resource) => resource.type.toLowerCase() === type.toLowerCase());

  /** What each role assignment of a plan allows, and on what. */
  const grants = (plan: string) => {
    const roles = ofType(plan, "Microsoft.Authorization/roleDefinitions");
    return ofType(plan, "Microsoft.Authorization/roleAssignments").map(({ id, properties }) => {
      const role = roles.find((item) => item.id === textAt(properties, "roleDefinitionId"));
      const [, scope] = /^\[extensionResourceId\('([^']+)'/.exec(id) ?? [];
      return { scope, permissions: at(role?.properties, "permissions") };
    });
  };
  const group = "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg-dapr-samples";
  const permissions = [
    {
      actions: [
        "Microsoft.App/containerApps/read",
        "Microsoft.App/containerApps/write",
        "Microsoft.App/containerApps/revisions/read",
        "Microsoft.App/containerApps/revisions/replicas/read",
        "Microsoft.App/containerApps/revisions/activate/action",
        "Microsoft.App/containerApps/revisions/deactivate/action",
        "Microsoft.Insights/metrics/read",
      ],
    },
  ];

  test("has exactly the actions of a release, on one app", () => {
    expect(grants(withoutLogs)).toEqual([
      { scope: `${group}/providers/Microsoft.App/containerApps/welcome`, permissions },
    ]);
  });

  test("has them on each app of the list, and the query of one table on the workspace", () => {
    const logs = "/subscriptions/11111111-1111-4111-8111-111111111111/resourceGroups/rg-logs";
    expect(grants(withLogs)).toEqual([
      { scope: `${group}/providers/Microsoft.App/containerApps/welcome`, permissions },
      { scope: `${group}/providers/Microsoft.App/containerApps/state-api`, permissions },
      {
        scope: `${logs}/providers/Microsoft.OperationalInsights/workspaces/log-contoso`,
        permissions: [
          {
            actions: [
              "Microsoft.OperationalInsights/workspaces/read",
              "Microsoft.OperationalInsights/workspaces/query/read",
              "Microsoft.OperationalInsights/workspaces/query/ContainerAppHTTPLogs/read",
            ],
          },
        ],
      },
    ]);
  });

  test("has roles that nobody can assign outside of the resource groups of the apps and of the workspace", () => {
    const scopes = ofType(withLogs, "Microsoft.Authorization/roleDefinitions").map(({ properties }) =>
      listAt(properties, "assignableScopes"),
    );
    expect(scopes).toEqual([[group], [expect.stringMatching(/\/resourceGroups\/rg-logs$/)]]);
  });

  test("trusts exactly the environments of release.yml", () => {
    const subjects = ofType(
      withLogs,
      "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials",
    ).map(({ properties }) => {
      expect(properties).toMatchObject({
        issuer: "https://token.actions.githubusercontent.com",
        audiences: ["api://AzureADTokenExchange"],
      });
      return textAt(properties, "subject");
    });
    const environments = Object.values(workflow.jobs).map((job) => textAt(job, "environment"));
    expect(subjects.toSorted()).toEqual(
      environments.map((environment) => `repo:contoso/samples:environment:${environment}`).toSorted(),
    );
  });
});

test("the modules of releaser.bicep use no built-in role and no wildcard", () => {
  for (const name of ["releaser", "modules/releaser-identity", "modules/app-releaser", "modules/http-log-reader"]) {
    const text = readFileSync(join(root, `infra/bicep/${name}.bicep`), "utf8");
    expect(text, name).not.toMatch(/[0-9a-f]{8}-[0-9a-f]{4}-|'[\w.]+\/(\S*\/)?\*/);
  }
});

describe("release.yml", () => {
  const folder = mkdtempSync(join(tmpdir(), "release-workflow-"));
  afterAll(() => rmSync(folder, { recursive: true }));
  // An npm that prints its arguments, writes the outputs of a release, and ends with the code of its app.
  writeFileSync(
    join(folder, "npm"),
    `#!/bin/sh
echo "$@"
[ -z "$HOLD" ] || echo "hold=$HOLD" >>"$GITHUB_OUTPUT"
for argument in "$@"; do case $CODES in *"$argument="*) exit "$(echo "$CODES" | sed "s/.*$argument=\\([0-9]\\).*/\\1/")" ;; esac; done
`,
    { mode: 0o755 },
  );

  /** Runs the last step of a job as GitHub does. */
  function runStep(job: string, env: Readonly<Record<string, string>>) {
    const output = join(folder, "output");
    writeFileSync(output, "");
    const step = listAt(workflow, `jobs.${job}.steps`).at(-1);
    const names = Object.keys(at(step, "env") ?? {});
    const { status, stdout, stderr } = spawnSync("bash", ["--norc", "-e", "-c", textAt(step, "run")], {
      encoding: "utf8",
      env: {
        PATH: `${folder}:${process.env.PATH}`,
        GITHUB_OUTPUT: output,
        GITHUB_REPOSITORY: "Contoso/Samples",
        CODES: "",
        HOLD: "",
        ...Object.fromEntries(names.map((name) => [name, ""])),
        ...env,
      },
    });
    expect(stderr).toBe("");
    return { status, lines: stdout.trim().split("\n") };
  }

  test("starts by hand, after publish.yml, and by a schedule", () => {
    expect(workflow.on).toEqual({
      workflow_dispatch: expect.anything(),
      workflow_run: { workflows: ["publish"], types: ["completed"] },
      schedule: [{ cron: expect.stringMatching(/^7,22,37,52 /) }],
    });
    const publish = parse(readFileSync(join(root, ".github/workflows/publish.yml"), "utf8"));
    expect(publish).toMatchObject({ name: "publish", on: { push: { tags: ["v*"] } } });
  });

  test("offers each app that has a release.yaml", () => {
    const apps = listAt(workflow, "on.workflow_dispatch.inputs.app.options");
    expect(apps.filter((app) => !existsSync(join(root, `services/${app}/release.yaml`)))).toEqual([]);
    expect(apps).toEqual(["welcome", "state-api", "group-lister"]);
  });

  test("never cancels a run, and lets promote and abort pass one", () => {
    for (const job of Object.values(workflow.jobs)) expect(at(job, "concurrency.cancel-in-progress")).toBe(false);
    expect(textAt(workflow, "jobs.release.concurrency.group")).toMatch(/inputs\.app .*inputs\.command/);
    expect(workflow).not.toHaveProperty("concurrency");
  });

  test("lets a job of a release run nearly as long as GitHub does", () => {
    for (const job of ["release", "approve"]) expect(at(workflow, `jobs.${job}.timeout-minutes`)).toBe(350);
  });

  test("releases the image that a person names", () => {
    expect(runStep("release", { COMMAND: "run", APP: "welcome", IMAGE: "ghcr.io/a/b:1 $(id)" })).toEqual({
      status: 0,
      lines: ["run release -- run welcome --image ghcr.io/a/b:1 $(id)"],
    });
  });

  test("releases the image of the tag that publish.yml has published", () => {
    expect(runStep("release", { COMMAND: "run", APP: "welcome", TAG: "v1.1.0" })).toEqual({
      status: 0,
      lines: ["run release -- run welcome --image ghcr.io/contoso/samples/welcome:1.1.0"],
    });
  });

  test.each(["promote", "abort"])("passes no image to %s", (COMMAND) => {
    expect(runStep("release", { COMMAND, APP: "welcome" }).lines).toEqual([`run release -- ${COMMAND} welcome`]);
  });

  test.each([
    ["a promotion succeeds", "0", "", 0],
    ["a hold that asks for a person succeeds", "3", "confirm", 0],
    ["a hold for another reason fails", "3", "inconclusive", 3],
    ["a rollback fails", "2", "", 2],
    ["a rollback of a release that had asked for a person fails", "2", "confirm", 2],
  ])("%s", (_, code, HOLD, expected) => {
    const env = { COMMAND: "run", APP: "welcome", IMAGE: "a:1", CODES: `welcome=${code}`, HOLD };
    expect(runStep("release", env).status).toBe(expected);
  });

  test("asks for an approval only when a step asks for it, and then promotes", () => {
    expect(at(workflow, "jobs.approve.if")).toBe("needs.release.outputs.hold == 'confirm'");
    expect(at(workflow, "jobs.release.outputs.hold")).toBe("$" + "{{ steps.release.outputs.hold }}");
    expect(runStep("approve", { APP: "welcome" }).lines).toEqual(["run release -- promote welcome"]);
  });

  test("the watchdog takes one step for each app, also after one that fails", () => {
    expect(runStep("watchdog", { APPS: "welcome state-api group-lister", CODES: "welcome=5" })).toEqual({
      status: 5,
      lines: ["welcome", "state-api", "group-lister"].map((app) => `run release -- run ${app} --once`),
    });
  });

  test("the watchdog keeps quiet about a release that holds", () => {
    expect(runStep("watchdog", { APPS: "welcome", CODES: "welcome=3" }).status).toBe(0);
  });
});
