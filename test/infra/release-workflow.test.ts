// .github/workflows/release.yml: its expressions are evaluated, its scripts run with another npm and gh, and what they
// ask npm for releases in the simulator. test/infra/azure-dev.test.ts tests who can start it,
// test/infra/releaser-role.test.ts what it may do.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import type { Goal } from "../../tools/release/core/goal.ts";
import { readOptions } from "../../tools/release/options.ts";
import { createSummary } from "../../tools/release/show/summary.ts";
import { at, listAt, objectAt, textAt } from "../support/at.ts";
import { type Contexts, evaluateValue, isMet } from "../support/expressions.ts";
import { root } from "../support/processes.ts";
import { start } from "../tools/release/model.ts";
import { quickDefinition, runKilled, type Simulated, simulate } from "../tools/release/simulated.ts";

const workflow = parse(readFileSync(join(root, ".github/workflows/release.yml"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "release-workflow-"));
afterAll(() => rmSync(folder, { recursive: true }));
const [log, outputs] = [join(folder, "log"), join(folder, "outputs")];

// They write their arguments into the log. npm also writes the outputs of a release.
const fakes = {
  npm: `for line in $OUTPUTS; do echo "$line" >>"$GITHUB_OUTPUT"; done; exit "$CODE"`,
  gh: `case $1 in api) echo "$COMPARED" ;; attestation) [ -n "$DIGEST" ] && echo "$DIGEST" ;; esac`,
};
for (const [name, script] of Object.entries(fakes)) {
  writeFileSync(join(folder, name), `#!/bin/sh\necho "${name} $*" >>"${log}"\n${script}\n`, { mode: 0o755 });
}

interface Fake {
  /** Exit code and outputs of `npm run release`. */
  readonly code?: number;
  readonly outputs?: string;
  /** What GitHub says of the commit and main, and of the image. */
  readonly compared?: string;
  readonly digest?: string;
}

/** Runs the scripts of a job as GitHub does, until one fails. */
function runJob(name: string, contexts: Contexts, fake: Fake = {}) {
  const job = objectAt(workflow, `jobs.${name}`);
  const steps: Record<string, { outputs: Record<string, string> }> = {};
  for (const id of listAt(job, "steps").map((step) => at(step, "id"))) if (id) steps[String(id)] = { outputs: {} };
  writeFileSync(log, "");
  let status = 0;
  for (const step of listAt(job, "steps")) {
    const [script, condition] = [at(step, "run"), at(step, "if")];
    if (typeof script !== "string" || status !== 0) continue;
    if (typeof condition === "string" && !isMet(condition, { ...contexts, steps })) continue;
    const env = Object.entries(at(step, "env") ?? {}).map(([variable, value]) => [
      variable,
      String(evaluateValue(String(value), { ...contexts, steps }) ?? ""),
    ]);
    writeFileSync(outputs, "");
    const ended = spawnSync("bash", ["--norc", "-e", "-c", script], {
      encoding: "utf8",
      env: {
        PATH: `${folder}:${process.env.PATH}`,
        GITHUB_OUTPUT: outputs,
        GITHUB_REPOSITORY: "Contoso/Samples",
        CODE: String(fake.code ?? 0),
        OUTPUTS: fake.outputs ?? "",
        COMPARED: fake.compared ?? "behind",
        DIGEST: fake.digest ?? "",
        ...Object.fromEntries(env),
      },
    });
    status = ended.status ?? -1;
    steps[String(at(step, "id"))] = { outputs: readOutputs(readFileSync(outputs, "utf8")) };
  }
  const lines = readFileSync(log, "utf8").trim().split("\n").filter(Boolean);
  return { status, lines };
}

function readOutputs(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^(\w+)=(.*)$/gm)].map(([, name, value]) => [name, value]));
}

const given = (event: string, more: object = {}): Contexts => ({
  github: { event_name: event, repository: "Contoso/Samples", token: "token", event: {} },
  inputs: { command: "", app: "", image: "", revision: "", step: "" },
  vars: { RELEASE_ON_PUBLISH: "state-api", RELEASE_WATCHDOG: '["welcome","state-api"]' },
  ...more,
});
const byHand = (inputs: Readonly<Record<string, string>>): Contexts =>
  given("workflow_dispatch", {
    inputs: { command: "run", app: "welcome", image: "", revision: "", step: "", ...inputs },
  });
const image = "ghcr.io/a/b:1.0.0";
const afterPublish: Contexts = {
  ...given("workflow_run"),
  github: {
    event_name: "workflow_run",
    repository: "Contoso/Samples",
    token: "token",
    event: { workflow_run: { head_branch: "v1.1.0", head_sha: "c0ffee" } },
  },
};
const held = (revision: string, step: string, contexts: Contexts): Contexts => ({
  ...contexts,
  needs: { release: { outputs: { hold: "confirm", revision, step } } },
});

describe("release.yml", () => {
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

  test.each([
    ["a start", byHand({ image }), "release"],
    ["a start by a published tag", afterPublish, "release"],
    ["promote", byHand({ command: "promote" }), "release-approval"],
    ["abort, which nobody has to approve", byHand({ command: "abort" }), "release-watchdog"],
    ["going on with a release", byHand({}), "release-watchdog"],
  ])("asks the reviewers of the environment of %s", (_, contexts, environment) => {
    expect(evaluateValue(textAt(workflow, "jobs.release.environment"), contexts)).toBe(environment);
  });

  const group = (job: string, contexts: Contexts) =>
    evaluateValue(textAt(workflow, `jobs.${job}.concurrency.group`), contexts);

  test("lets the starts of one app wait for each other, and nothing else wait for a start", () => {
    expect(group("release", byHand({ image }))).toBe("release-welcome-run");
    expect(group("release", afterPublish)).toBe("release-state-api-run");
    const others = [byHand({}), byHand({ command: "promote" }), byHand({ command: "abort" })];
    expect(others.map((contexts) => group("release", contexts))).toEqual([
      "release-welcome-resume",
      "release-welcome-promote",
      "release-welcome-abort",
    ]);
    expect(group("approve", held("welcome--r01234567", "step 2 of 3", byHand({})))).toBe(
      "release-welcome--r01234567-step 2 of 3",
    );
    expect(workflow).not.toHaveProperty("concurrency");
  });

  test("cancels no run, and of those that wait, only a watchdog for a later one of the same app", () => {
    const none = { "cancel-in-progress": false, queue: "max" };
    for (const job of ["release", "approve"]) expect(at(workflow, `jobs.${job}.concurrency`)).toMatchObject(none);
    expect(at(workflow, "jobs.ask-again")).not.toHaveProperty("concurrency");
    const { queue, ...watchdog } = { queue: undefined, ...objectAt(workflow, "jobs.watchdog.concurrency") };
    expect([queue, watchdog]).toEqual([undefined, { group: expect.anything(), "cancel-in-progress": false }]);
    expect(group("watchdog", given("schedule", { matrix: { app: "welcome" } }))).toBe("release-welcome-watchdog");
  });

  test("lets each job that releases run nearly as long as GitHub does", () => {
    for (const job of ["release", "approve", "watchdog"]) {
      expect(at(workflow, `jobs.${job}.timeout-minutes`)).toBe(350);
    }
  });

  test.each([
    ["the image that a person names", byHand({ image: "a/b:1 $(id)" }), "run welcome --image a/b:1 $(id)"],
    ["no image to go on", byHand({}), "run welcome"],
    ["no image to abort", byHand({ command: "abort", image }), "abort welcome"],
    [
      "the revision and the step to promote",
      byHand({ command: "promote", revision: "welcome--r01234567", step: "2" }),
      "promote welcome --revision welcome--r01234567 --step 2",
    ],
    [
      "the revision to promote, in any step",
      byHand({ command: "promote", revision: "welcome--r01234567" }),
      "promote welcome --revision welcome--r01234567",
    ],
  ])("passes %s", (_, contexts, expected) => {
    expect(runJob("release", contexts)).toEqual({ status: 0, lines: [`npm run release -- ${expected}`] });
  });

  const digest = "d".repeat(64);

  test("releases the image of a published tag by its digest, after GitHub has verified the commit and the image", () => {
    const { status, lines } = runJob("release", afterPublish, { digest });
    expect(status).toBe(0);
    expect(lines).toEqual([
      "gh api repos/Contoso/Samples/compare/main...c0ffee --jq .status",
      expect.stringMatching(
        /^gh attestation verify oci:\/\/ghcr\.io\/contoso\/samples\/state-api:1\.1\.0 --repo Contoso\/Samples --signer-workflow Contoso\/Samples\/\.github\/workflows\/publish\.yml --deny-self-hosted-runners --source-ref refs\/tags\/v1\.1\.0 --source-digest c0ffee /,
      ),
      `npm run release -- run state-api --image ghcr.io/contoso/samples/state-api@sha256:${digest}`,
    ]);
    expect(at(workflow, "jobs.release.permissions.attestations")).toBe("read");
  });

  test.each([
    ["a commit that is ahead of main", { digest, compared: "ahead" }],
    ["a commit beside main", { digest, compared: "diverged" }],
    ["an image that publish.yml of this commit has not signed", {}],
  ])("does not start npm for %s", (_, fake) => {
    const { status, lines } = runJob("release", afterPublish, fake);
    expect(status).not.toBe(0);
    expect(lines.filter((line) => line.startsWith("npm"))).toEqual([]);
  });

  test.each([
    ["a promotion succeeds", 0, "", 0],
    ["a hold that asks for a person succeeds", 3, "hold=confirm", 0],
    ["a hold for another reason fails", 3, "hold=inconclusive", 3],
    ["a rollback fails", 2, "", 2],
    ["a rollback of a release that had asked for a person fails", 2, "hold=confirm", 2],
  ])("%s, in the first job and after an approval", (_, code, outputs, expected) => {
    expect(runJob("release", byHand({ image }), { code, outputs }).status).toBe(expected);
    const approved = held("welcome--r01234567", "step 1 of 2", byHand({ image }));
    expect(runJob("approve", approved, { code, outputs }).status).toBe(expected);
  });

  test("watches each app of RELEASE_WATCHDOG in a job of its own", () => {
    expect(evaluateValue(textAt(workflow, "jobs.watchdog.strategy.matrix.app"), given("schedule"))).toEqual([
      "welcome",
      "state-api",
    ]);
    expect(at(workflow, "jobs.watchdog.strategy.fail-fast")).toBe(false);
    const watch = (code: number) => runJob("watchdog", given("schedule", { matrix: { app: "welcome" } }), { code });
    expect(watch(0)).toEqual({ status: 0, lines: ["npm run release -- run welcome"] });
    expect(watch(3).status).toBe(0); // a release that holds
    expect(watch(5).status).toBe(5);
  });

  test.each<[string, string, Contexts, boolean]>([
    ["release", "by hand", byHand({}), true],
    ["release", "by the schedule", given("schedule"), false],
    ["watchdog", "by hand", byHand({}), false],
    ["watchdog", "by the schedule", given("schedule"), true],
    ["watchdog", "by the schedule, without an app", given("schedule", { vars: { RELEASE_WATCHDOG: "" } }), false],
    ["approve", "after a hold that asks", held("welcome--r01234567", "step 1 of 2", byHand({})), true],
    ["approve", "after a promotion", given("schedule", { needs: { release: { outputs: { hold: "" } } } }), false],
  ])("the job %s %s: %j", (job, _, contexts, starts) => {
    expect(isMet(textAt(workflow, `jobs.${job}.if`), contexts)).toBe(starts);
  });
});

describe("the commands of release.yml, in the simulator", () => {
  const env = { AZURE_SUBSCRIPTION_ID: "11111111-1111-4111-8111-111111111111", AZURE_RESOURCE_GROUP: "rg-samples" };
  const imageOf = (version: string) => `registry.example/welcome:${version}`;
  const asking = { ...quickDefinition, steps: quickDefinition.steps.map((step) => ({ ...step, confirm: true })) };

  /** What a job asks the command for. */
  function goalOf(job: string, contexts: Contexts): Goal {
    const [line = "", ...others] = runJob(job, contexts).lines;
    expect(others).toEqual([]);
    // The step of an approval is one argument.
    const args = line.replace("npm run release -- ", "").match(/step \d of \d|\S+/g);
    const command = readOptions(args ?? [], env)?.command;
    if (command?.kind !== "release") throw new Error(`${line} releases nothing`);
    return command.goal;
  }

  /** Runs a job, and returns its outcome and outputs. */
  async function release(simulated: Simulated, job: string, contexts: Contexts) {
    const GITHUB_OUTPUT = join(folder, "release-outputs");
    writeFileSync(GITHUB_OUTPUT, "");
    const summary = createSummary({ GITHUB_OUTPUT }, () => {});
    const ended = await simulated.run(goalOf(job, contexts), { onReport: summary.report });
    summary.end(ended.outcome, ended.message);
    const { revision = "", step = "", hold } = readOutputs(readFileSync(GITHUB_OUTPUT, "utf8"));
    return { ...ended, hold, approval: held(revision, step, contexts) };
  }

  test("ask for each step with confirm, and promote at the end", async () => {
    const simulated = simulate({}, asking);
    const first = await release(simulated, "release", byHand({ image: imageOf("2.0.0") }));
    expect([first.hold, ...simulated.weights]).toEqual(["confirm", 0, 5]);
    const second = await release(simulated, "approve", first.approval);
    expect([second.hold, ...simulated.weights]).toEqual(["confirm", 0, 5, 50]);
    const needs = { approve: { outputs: { hold: second.hold } } };
    expect(isMet(textAt(workflow, "jobs.ask-again.if"), { needs })).toBe(true);
    const [dispatch = ""] = runJob("ask-again", byHand({ image: imageOf("2.0.0") })).lines;
    expect(dispatch).toBe(
      "gh workflow run release.yml --repo Contoso/Samples --ref main --field command=run --field app=welcome",
    );
    const again = await release(simulated, "release", byHand({}));
    expect([again.hold, ...simulated.weights]).toEqual(["confirm", 0, 5, 50]);
    expect(await release(simulated, "approve", again.approval)).toMatchObject({ outcome: "promoted" });
    expect(simulated.rules.violations).toEqual([]);
  });

  test("refuse an approval that comes when another release, or another step, asks", async () => {
    const simulated = simulate({}, asking);
    const first = await release(simulated, "release", byHand({ image: imageOf("2.0.0") }));
    await release(simulated, "release", byHand({ command: "abort" }));
    const other = await release(simulated, "release", byHand({ image: imageOf("3.0.0-errors-at-50") }));
    expect(other.hold).toBe("confirm");
    expect(await release(simulated, "approve", first.approval)).toMatchObject({ outcome: "input" });
    expect(simulated.weights).toEqual([0, 5, 0, 5]);

    await release(simulated, "release", byHand({ command: "abort" }));
    const good = await release(simulated, "release", byHand({ image: imageOf("4.0.0") }));
    await release(simulated, "approve", good.approval);
    expect(await release(simulated, "approve", good.approval)).toMatchObject({ outcome: "input" });
    expect(simulated.weights).toEqual([0, 5, 0, 5, 0, 5, 50]);
    expect(simulated.rules.violations).toEqual([]);
  });

  test("take over a dead release as a watchdog, and leave a version that crashes at 100 % there for less than three minutes", async () => {
    const simulated = simulate();
    const { simulator } = simulated;
    const isAtFirst = () => simulated.weights.at(-1) === 5;
    await runKilled(simulated, start({ image: imageOf("2.0.0-crash-at-100") }), isAtFirst, "after");
    simulator.virtualClock.advance(15 * 60_000);
    const whole: number[] = [];
    const { onRequest } = simulator.options;
    simulator.options.onRequest = async (moment, request) => {
      await onRequest?.(moment, request);
      if (simulated.weights.at(-1) === 100) whole.push(simulator.clock.now());
    };
    const watchdog = given("schedule", { matrix: { app: "welcome" } });
    expect(await release(simulated, "watchdog", watchdog)).toMatchObject({ outcome: "rolledBack" });
    expect(simulated.weights).toEqual([0, 5, 50, 100, 0]);
    expect((whole.at(-1) ?? 0) - (whole[0] ?? 0)).toBeLessThan(3 * 60_000);
    expect(simulated.rules.violations).toEqual([]);
  });

  test("do nothing as a watchdog without a release, also while infra/bicep splits the traffic", async () => {
    const simulated = simulate({ mode: "Multiple" });
    const { app, writeAs } = simulated.simulator;
    const watchdog = given("schedule", { matrix: { app: "welcome" } });
    expect(await release(simulated, "watchdog", watchdog)).toMatchObject({ outcome: "nothing" });
    writeAs({ properties: { template: { containers: [{ name: "welcome", image: imageOf("2.0.0") }] } } });
    const [live] = app.revisions;
    const traffic = [
      { revisionName: live?.name, weight: 50, label: "blue" },
      { latestRevision: true, weight: 50, label: "green" },
    ];
    writeAs({ properties: { configuration: { ingress: { traffic } } } });
    simulated.simulator.virtualClock.advance(60_000);
    expect(await release(simulated, "watchdog", watchdog)).toMatchObject({ outcome: "nothing" });
    const refused = await release(simulated, "release", byHand({ image: imageOf("3.0.0") }));
    expect(refused).toMatchObject({
      outcome: "input",
      message: expect.stringContaining("Deploy infra/bicep without LIVE"),
    });
  });
});
