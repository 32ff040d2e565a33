// `npm run release`: gives traffic to a new revision of a container app, and promotes it or goes back.
import { randomUUID } from "node:crypto";
import { glob } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describeArgo } from "./argo/manifests.ts";
import { type Azure, AzureFault } from "./azure/azure.ts";
import { checkLoopback } from "./azure/loopback.ts";
import { createResourceManager } from "./azure/resource-manager.ts";
import { createSignIn } from "./azure/sign-in.ts";
import { readAgreement } from "./bicep-variables.ts";
import type { Goal } from "./core/goal.ts";
import { stateOf } from "./core/state.ts";
import { formatTime } from "./core/tags.ts";
import { commandFor } from "./core/words.ts";
import type { Definition } from "./definition/definition.ts";
import { DefinitionError, readDefinition } from "./definition/read-definition.ts";
import { type AzureOptions, type Command, type Options, OptionsError, readOptions, usage } from "./options.ts";
import { readPlan } from "./plan.ts";
import { readStatus } from "./read-status.ts";
import type { Clock } from "./run/clock.ts";
import { type Interruptible, makeInterruptible } from "./run/interrupt.ts";
import { probe } from "./run/probe.ts";
import { release } from "./run/runner.ts";
import { createRunTest } from "./run/test-revision.ts";
import { clean } from "./show/format.ts";
import { type Outcome, outcomes } from "./show/report.ts";
import { createShow } from "./show/show.ts";
import { renderStatus } from "./show/status.ts";

const clock: Clock = {
  now: () => Date.now(),
  async sleep(milliseconds) {
    await sleep(milliseconds);
  },
};

process.exitCode = await main(process.argv.slice(2), process.env);

async function main(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  try {
    const options = readOptions(args, env);
    if (options === undefined) {
      console.log(usage);
      return 0;
    }
    return await perform(options, await read(options), env);
  } catch (error) {
    if (error instanceof OptionsError || error instanceof DefinitionError) {
      printError(`${error.message}\n\nnpm run release -- --help prints the commands and options.`);
      return outcomes.input;
    }
    if (!(error instanceof AzureFault)) throw error;
    printError(error.message);
    return outcomes[outcomeOf(error)];
  }
}

/** Messages contain text of Azure and of files, and an escape sequence would control the terminal. */
function printError(message: string): void {
  console.error(message.split("\n").map(clean).join("\n"));
}

/** Of a command that could not even read the app. */
function outcomeOf({ kind }: AzureFault): Outcome {
  return kind === "unreachable" || kind === "busy" ? "unreachable" : "input";
}

async function read({ app, file, command, repeated }: Options): Promise<Definition> {
  const definition = await readDefinition(file).catch(async (error: unknown) => {
    if (error instanceof DefinitionError) throw error;
    const remedy = `Apps with a release.yaml: ${(await listApps()).join(", ")}. Name the file of another app with --file.`;
    throw new OptionsError(`${file} cannot be read. ${remedy} (${error instanceof Error ? error.message : error})`);
  });
  if (definition.app !== app) throw new OptionsError(`${file} is for the app ${definition.app}, not for ${app}.`);
  const needsLogs = definition.checks.some(({ source }) => source === "httpLogs");
  if (needsLogs && command.kind !== "argo" && !isEnd(command) && command.azure.workspace === undefined) {
    const remedy =
      "Set AZURE_LOG_ANALYTICS_WORKSPACE_ID to the customerId of the workspace that has the logs of the environment: " +
      "az monitor log-analytics workspace list --output table";
    throw new OptionsError(`${file}: a check has source httpLogs, and no workspace is set. ${remedy}`);
  }
  return { ...definition, options: repeated };
}

async function listApps(): Promise<string[]> {
  const files = await Array.fromAsync(glob("services/*/release.yaml"));
  return files.map((found) => basename(dirname(found))).toSorted();
}

/** Never refused for a setting: the way back must not depend on one. */
function isEnd(command: Command): boolean {
  return command.kind === "status" || (command.kind === "release" && command.goal.kind === "abort");
}

async function perform({ command }: Options, definition: Definition, env: NodeJS.ProcessEnv): Promise<number> {
  if (command.kind === "argo") {
    process.stdout.write(describeArgo(definition, { image: command.image, set: command.set }));
    return 0;
  }
  const azure = connect(command.azure, env);
  const reached = reach(azure, command.azure);
  if (command.kind === "release") return runRelease(command.goal, definition, azure, reached, env);
  await reached;
  if (command.kind === "plan") {
    const { wanted, allowQueue } = command;
    const { text, refusals } = await readPlan(azure, { definition, wanted, allowQueue });
    console.log(text);
    return refusals.length === 0 ? 0 : outcomes.input;
  }
  const status = await readStatus(definition, azure, probe);
  if (command.json) console.log(JSON.stringify(status, undefined, 2));
  else {
    console.log(renderStatus(status, process.stdout.columns));
    printCommands(status.agreement);
  }
  return 0;
}

/**
 * Ends the command for a wrong name, a missing role or no network, before it does anything. The runner would go on
 * trying for minutes, because it may have a release to bring back.
 *
 * @throws {AzureFault}
 */
async function reach(azure: Azure, { manager }: AzureOptions): Promise<void> {
  const note = setTimeout(
    () => console.error(`Waiting for the sign-in and for ${manager.origin}, up to 10 s each …`),
    1_500,
  );
  try {
    await checkLoopback(manager.origin);
    await azure.readApp();
  } finally {
    clearTimeout(note);
  }
}

async function runRelease(
  goal: Goal,
  definition: Definition,
  azure: Azure,
  reached: Promise<void>,
  env: NodeJS.ProcessEnv,
): Promise<number> {
  const show = createShow(process.stdout, env, () => azure.now());
  try {
    await reached;
  } catch (error) {
    if (!(error instanceof AzureFault)) throw error;
    const outcome = outcomeOf(error);
    const [first = "", ...details] = error.message.split("\n");
    show.end(outcome, first);
    if (details.length > 0) printError(details.join("\n"));
    return outcomes[outcome];
  }
  const owner = ownerName(env);
  const { azure: own, stop } = makeInterruptible(azure, owner);
  let isEnding = false;
  process.on("SIGINT", () => {
    if (!isEnding) void interrupt(definition, stop); // it comes from the terminal, and again from npm
    isEnding = true;
  });
  const runTest = createRunTest(show.log);
  const outcome = await release({ definition, goal, azure: own, clock, probe, runTest, owner, show });
  if (outcome === "promoted") await printAgreement(definition, azure);
  if (outcome === "rolledBack")
    console.log("How to read the log of a revision that went back: docs/troubleshooting.md, 60");
  return outcomes[outcome];
}

/** Ends the command within two seconds. */
async function interrupt(definition: Definition, stop: Interruptible["stop"]): Promise<never> {
  const late = new Promise<"unknown">((resolve) => setTimeout(resolve, 2_000, "unknown"));
  const expiry = await Promise.race([late, stop().catch(() => "unknown" as const)]);
  const when =
    expiry === undefined
      ? ""
      : expiry === "unknown"
        ? ", in 5 minutes at the latest"
        : `, from ${formatTime(expiry).slice(11, 19)} UTC on`;
  const commands = ["run", "abort"].map((name) => `  ${commandFor(definition, name).replaceAll("`", "")}`);
  console.error(`\nThe traffic stays as it is. Go on with the release${when}, or go back now:\n${commands.join("\n")}`);
  process.exit(130);
}

async function printAgreement(definition: Definition, azure: Azure): Promise<void> {
  try {
    const state = stateOf(definition, await azure.readApp());
    if (state.kind !== "idle") return;
    printCommands(await readAgreement(definition, state.live));
  } catch (error) {
    if (!(error instanceof AzureFault)) throw error; // the release itself has ended well
  }
}

/** Without them, the next deployment would bring back the image of before. */
function printCommands(commands: readonly string[]): void {
  if (commands.length > 0) console.log(["\nSo that infra/bicep deploys what is live:", ...commands].join("\n"));
}

/** Who works on the release, for a person, and no other run has it. A tag has no room for long names. */
function ownerName(env: NodeJS.ProcessEnv): string {
  const name = env.GITHUB_RUN_ID ? `github-${env.GITHUB_RUN_ID}` : `${userInfo().username}@${hostname()}`;
  return `${name.replaceAll(/[^\w.@-]/g, "-").slice(0, 60)}-${randomUUID().slice(0, 8)}`;
}

function connect({ target, manager, logs, authorityHost, workspace }: AzureOptions, env: NodeJS.ProcessEnv): Azure {
  const signIn = (resource: string) => createSignIn({ resource, authorityHost, env });
  return createResourceManager({
    target,
    origin: manager.origin,
    getToken: signIn(manager.resource),
    logs: { origin: logs.origin, getToken: signIn(logs.resource), workspace },
    clock,
  });
}
