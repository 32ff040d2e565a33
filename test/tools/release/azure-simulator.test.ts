// The adapter and the command against the simulator of Container Apps, over HTTPS and with sign-in.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { parseAllDocuments } from "yaml";
import { armError } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { spawn } from "../../../tools/processes/spawn.ts";
import { createResourceManager } from "../../../tools/release/azure/resource-manager.ts";
import { createSignIn } from "../../../tools/release/azure/sign-in.ts";
import type { Goal } from "../../../tools/release/core/goal.ts";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";
import { release } from "../../../tools/release/run/runner.ts";
import type { Report } from "../../../tools/release/show/report.ts";
import { steady } from "../../simulators/container-apps/requests.ts";
import { type Served, serveSimulator } from "../../simulators/container-apps/serve.ts";
import {
  createSimulator,
  groupName,
  type Simulator,
  subscriptionId,
  workspaceId,
} from "../../simulators/container-apps/simulator.ts";
import { watch } from "./simulated-rules.ts";

const yaml = `app: welcome
steps: [{ weight: 5, for: 10m }, { weight: 50, for: 10m }]
checks:
  - { name: 5xx, source: metrics, margin: 1% }
  - { name: slow, source: httpLogs, over: 500ms, margin: 2% }
`;
const folder = mkdtempSync(join(tmpdir(), "release-"));
const file = join(folder, "release.yaml");
const image = (tag: string) => `registry.example/welcome:${tag}`;
let simulator: Simulator;
let served: Served;

beforeAll(() => writeFileSync(file, yaml));
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(async () => {
  const env = [{ name: "WELCOME", value: "It's me" }];
  simulator = createSimulator({ env, workload: steady({ perSecond: 20, errors: 0.001 }) });
  simulator.virtualClock.advance(2 * 3_600_000);
  served = await serveSimulator(simulator);
  const ca = readFileSync(served.env.NODE_EXTRA_CA_CERTS ?? "", "utf8");
  tls.setDefaultCACertificates([...tls.getCACertificates("bundled"), ca]);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await served.close();
});

function connect() {
  for (const [name, value] of Object.entries(served.env)) vi.stubEnv(name, value);
  const authorityHost = "https://login.microsoftonline.com";
  const signIn = (resource: string) => createSignIn({ resource, authorityHost, env: process.env });
  return createResourceManager({
    target: { subscription: subscriptionId, resourceGroup: groupName, app: "welcome" },
    origin: served.azure.httpsUrl,
    getToken: signIn("https://management.azure.com"),
    logs: { origin: served.logsUrl, getToken: signIn("https://api.loganalytics.io"), workspace: workspaceId },
    clock: simulator.clock,
  });
}

async function run(tag: string) {
  const goal: Goal = { kind: "run", image: image(tag), set: {}, retry: false, once: false, allowQueue: false };
  const reports: Report[] = [];
  let message = "";
  const definition = parseDefinition(yaml, "release.yaml");
  const rules = watch(simulator, definition);
  const outcome = await release({
    definition,
    goal,
    azure: connect(),
    clock: simulator.clock,
    probe: async () => ({ status: 200, body: "" }),
    runTest: async () => ({ ok: true }),
    owner: "test-1",
    show: {
      report(report) {
        reports.push(report);
        rules.reported(report);
      },
      end: (_outcome, text) => {
        message = text;
      },
    },
  });
  return { outcome, message, reports };
}

/** Runs the command as a user does. */
const command = (...args: string[]) => commandWith({}, ...args);

/** Without the line on stderr that a slow sign-in adds. */
async function commandWith(variables: NodeJS.ProcessEnv, ...args: string[]) {
  const env = { ...process.env, ...served.env, ...variables };
  const child = spawn(process.execPath, ["tools/release/release.ts", ...args], { env });
  const [output, printed, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]);
  return { output, errors: printed.replace(/^Waiting for the sign-in.*\n/m, ""), code };
}

describe("a release through HTTPS", () => {
  test("promotes a good revision, step by step", async () => {
    const { outcome, reports } = await run("1.0.1");
    expect(outcome).toBe("promoted");
    expect([...new Set(reports.map(({ next }) => next?.weight ?? 0))]).toEqual([0, 5, 50, 100]);
    const last = reports.findLast(({ phase }) => phase === "bake");
    expect(last?.checks.map(({ name, verdict }) => [name, verdict])).toEqual([
      ["5xx", "pass"],
      ["slow", "pass"],
    ]);
    expect(Object.values(simulator.weights())).toEqual([100]);
    const { revisions } = await connect().readApp();
    expect(revisions.map(({ isActive }) => isActive)).toEqual([false, true]);
  });

  test.each([
    ["errors", "check 5xx"],
    ["slow", "check slow"],
  ])("sends the traffic of a revision with %s back", async (variant, reason) => {
    const { outcome, message, reports } = await run(`1.0.1-${variant}`);
    expect(outcome).toBe("rolledBack");
    expect(message).toContain(reason);
    expect(Math.max(...reports.map(({ next }) => next?.weight ?? 0))).toBe(5);
    expect(simulator.weights()).toEqual({ "welcome--0000001": 100 });
  });

  test("releases the live revision's template, not that of a rejected one", async () => {
    const volumes = [{ name: "rejected", storageType: "EmptyDir" }];
    simulator.writeAs({ properties: { template: { revisionSuffix: "rejected", volumes } } });
    const traffic = [{ revisionName: "welcome--0000001", weight: 100 }];
    simulator.writeAs({ properties: { configuration: { activeRevisionsMode: "Multiple", ingress: { traffic } } } });
    simulator.virtualClock.advance(60_000);
    const azure = connect();
    const before = await azure.readApp();
    const [live] = before.revisions;
    if (!live) throw new Error("no revision");
    await azure.patch({ template: { ...live.template, revisionSuffix: "r01234567" } });
    simulator.virtualClock.advance(60_000);
    const { revisions } = await azure.readApp();
    const released = revisions.find(({ name }) => name === "welcome--r01234567");
    expect({ ...released?.template, revisionSuffix: "" }).toEqual({ ...live.template, revisionSuffix: "" });
  });
});

describe("npm run release", () => {
  test("status prints what is live, and the variables with which infra/bicep deploys it", async () => {
    const { output, errors, code } = await command("status", "welcome", "--file", file);
    expect({ errors, code }).toEqual({ errors: "", code: 0 });
    expect(output).toContain("No release is under way: all traffic is on welcome--0000001");
    expect(output).toContain(`export SERVICE_WELCOME_IMAGE_NAME=${image("1.0.0")}\nexport WELCOME='It'\\''s me'\n`);
  });

  test("status --json prints an object", async () => {
    const { output } = await command("status", "welcome", "--json", "--file", file);
    expect(JSON.parse(output)).toMatchObject({
      app: "welcome",
      image: image("1.0.0"),
      state: "idle",
      live: { revision: "welcome--0000001", weight: 100 },
      agreement: [
        `export SERVICE_WELCOME_IMAGE_NAME=${image("1.0.0")}`,
        "export WELCOME='It'\\''s me'",
        expect.stringContaining(`azd deploy welcome --from-package ${image("1.0.0")}`),
      ],
    });
  });

  test("status shows a release that nobody works on, with its checks", async () => {
    await startStep();
    simulator.virtualClock.advance(12 * 60_000);
    const { output } = await command("status", "welcome", "--json", "--file", file);
    const status = JSON.parse(output);
    expect(status).toMatchObject({ state: "underway", phase: "step 1 of 2", next: { weight: 5 } });
    expect(status.checks[0]).toMatchObject({ name: "5xx", verdict: "pass" });
    expect(status.message).toBe(
      `nobody works on it. Go on with \`npm run release -- run welcome --file ${file}\`, or back with \`npm run release -- abort welcome --file ${file}\`.`,
    );
  });

  test("prints no escape sequence that Azure or a file contains", async () => {
    const response = armError(403, "AuthorizationFailed", "\x1b[2Jno");
    simulator.options.intercept = () => ({ hasEffect: false, response });
    const { errors } = await command("status", "welcome", "--file", file);
    expect(errors).toContain("[2Jno");
    expect(errors).not.toContain("\x1b");
  });

  test("plan prints how long the steps need", async () => {
    const { output, code } = await command("plan", "welcome", "--image", image("1.0.1"), "--file", file);
    expect(code).toBe(0);
    expect(output).toContain("revision  welcome--r");
    expect(output).toMatch(/5xx: (19|20)\.\d requests a second/);
    expect(output).toMatch(/slow: (19|20)\.\d requests a second/);
  });

  test("plan --argo prints the same release for Argo Rollouts, without Azure", async () => {
    const none = Object.fromEntries(Object.keys(served.env).map((name) => [name, undefined]));
    const args = ["plan", "welcome", "--argo", "--image", image("1.0.1")];
    const { output, errors, code } = await commandWith(none, ...args);
    expect({ errors, code }).toEqual({ errors: "", code: 0 });
    const kinds = parseAllDocuments(output).map((document) => document.get("kind"));
    expect(new Set(kinds)).toEqual(new Set(["Service", "AnalysisTemplate", "Rollout"]));
  });

  test("plan and status send no write", async () => {
    const methods: string[] = [];
    simulator.options.intercept = ({ method }) => {
      methods.push(method);
      return undefined;
    };
    await command("plan", "welcome", "--image", image("1.0.1"), "--file", file);
    await command("status", "welcome", "--file", file);
    // POST only queries the logs.
    expect(new Set(methods)).toEqual(new Set(["GET", "POST"]));
    expect(simulator.app.revisions).toHaveLength(1);
  });

  test("run without an image has nothing to do when no release is under way", async () => {
    const { output, errors, code } = await command("run", "welcome", "--file", file);
    expect({ errors, code }).toEqual({ errors: "", code: 0 });
    expect(output).toContain("nothing to do: no release is under way, all traffic is on welcome--0000001");
  });

  test("promote ends with 1 when no release is under way", async () => {
    const { output, code } = await command("promote", "welcome", "--file", file);
    expect(code).toBe(1);
    expect(output).toContain("no release is under way");
  });

  test.each([
    ["an unknown command", ["start", "welcome"], "start is no command"],
    [
      "an app without release.yaml",
      ["status", "other"],
      "services/other/release.yaml cannot be read. Apps with a release.yaml: group-lister, state-api, welcome.",
    ],
    ["release.yaml of another app", ["status", "other", "--file", file], "is for the app welcome, not for other"],
    ["an invalid release.yaml", ["status", "welcome", "--file", "package.json"], "package.json:2: name is unknown"],
    [
      "an app that does not exist",
      ["status", "welcome", "--file", file, "--resource-group", "none"],
      "Azure does not find",
    ],
    ["a mutable image", ["run", "welcome", "--file", file, "--image", "welcome"], "can be another image tomorrow"],
  ])("ends with 1 for %s, without a stack and without a write", async (_, args, message) => {
    const methods = new Set<string>();
    simulator.options.intercept = ({ method }) => {
      methods.add(method);
      return undefined;
    };
    const { output, errors, code } = await command(...args);
    expect(code).toBe(1);
    expect(output).toBe("");
    expect(errors).toContain(message);
    expect(errors).not.toMatch(/^ {4}at /m);
    expect([...methods].filter((method) => method !== "GET")).toEqual([]);
  });

  test("ends with 1 for a check of source httpLogs without a workspace, but not for status and abort", async () => {
    const env = { AZURE_LOG_ANALYTICS_WORKSPACE_ID: "" };
    const { errors, code } = await commandWith(env, "run", "welcome", "--image", image("1.0.1"), "--file", file);
    expect(code).toBe(1);
    expect(errors).toContain(
      "a check has source httpLogs, and no workspace is set. Set AZURE_LOG_ANALYTICS_WORKSPACE_ID",
    );
    expect((await commandWith(env, "status", "welcome", "--file", file)).code).toBe(0);
    expect((await commandWith(env, "abort", "welcome", "--file", file)).output).toContain("no release is under way");
  });

  test("ends with 1 when nobody is signed in, and says how to sign in", async () => {
    const env = { IDENTITY_ENDPOINT: "http://127.0.0.1:1/token" };
    const { output, code } = await commandWith(env, "run", "welcome", "--image", image("1.0.1"), "--file", file);
    expect(code).toBe(1);
    expect(output).toContain("not started: No Azure credential returned a token. Sign in: az login\n");
  });

  test("ends with 1 for a missing role, and prints the command that assigns one", async () => {
    const message =
      "The client 'c' with object id 'o' does not have authorization to perform action 'Microsoft.App/containerApps/read' over scope '/x'";
    simulator.options.intercept = () => ({ hasEffect: false, response: armError(403, "AuthorizationFailed", message) });
    const { errors, code } = await command("status", "welcome", "--file", file);
    expect(code).toBe(1);
    expect(errors).toContain(`az role assignment create --role Contributor --assignee o --scope ${simulator.app.id}`);
  });

  test("ends with 5 when Azure is unreachable", async () => {
    const env = { AZURE_RESOURCE_MANAGER_ENDPOINT: "https://127.0.0.1:1" };
    const { output, code } = await commandWith(env, "run", "welcome", "--image", image("1.0.1"), "--file", file);
    expect(code).toBe(5);
    expect(output).toMatch(
      /Nothing listens at https:\/\/127\.0\.0\.1:1, which AZURE_RESOURCE_MANAGER_ENDPOINT sets .* the simulator has ended/,
    );
  });
});

/** Leaves a release in its first step, as a run that was killed. */
async function startStep(): Promise<void> {
  const template = { revisionSuffix: "r01234567", containers: [{ name: "welcome", image: image("1.0.1") }] };
  const pinned = [{ revisionName: "welcome--0000001", weight: 100, label: "blue" }];
  simulator.writeAs({
    properties: { configuration: { activeRevisionsMode: "Multiple", ingress: { traffic: pinned } } },
  });
  simulator.writeAs({ properties: { template } });
  simulator.virtualClock.advance(60_000);
  const since = new Date(simulator.clock.now()).toISOString().replace(/\.\d+Z/, "Z");
  simulator.writeAs({
    tags: { "release-progress": `id=r01234567 phase=step step=1 since=${since} from=welcome--0000001` },
    properties: {
      configuration: {
        ingress: {
          traffic: [
            { revisionName: "welcome--0000001", weight: 95, label: "blue" },
            { revisionName: "welcome--r01234567", weight: 5, label: "green" },
          ],
        },
      },
    },
  });
}
