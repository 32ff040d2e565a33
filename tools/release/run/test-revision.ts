import { spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Definition, Test } from "../definition/definition.ts";
import { isGood, type Probe } from "./probe.ts";

/** Passes, or fails for this reason. */
export type TestResult = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** Runs a command in a shell with more environment variables. Never rejects. */
export type RunTest = (command: string, environment: Readonly<Record<string, string>>) => Promise<TestResult>;

type GetTest = Extract<Test, { get: string }>;

interface Tested {
  /** Address of the label of the new revision. */
  readonly url: string;
  readonly revision: string;
}

/**
 * Runs the tests of the definition one after the other, and stops at the first that fails.
 *
 * @param beforeCommand called before each command, which may take up to `longest`
 */
export async function testRevision(
  { test }: Definition,
  { url, revision }: Tested,
  probe: Probe,
  runTest: RunTest,
  beforeCommand: () => Promise<void>,
): Promise<TestResult> {
  for (const one of test) {
    if ("run" in one) await beforeCommand();
    const result =
      "run" in one
        ? await runTest(one.run, { RELEASE_URL: url, RELEASE_REVISION: revision })
        : await getTwice(one, url, probe);
    if (!result.ok) return result;
  }
  return { ok: true };
}

/** One retry: the first request to a label can arrive before its route does. */
async function getTwice(test: GetTest, url: string, probe: Probe): Promise<TestResult> {
  const first = await get(test, url, probe);
  return first.ok ? first : get(test, url, probe);
}

async function get({ get: path, contains }: GetTest, url: string, probe: Probe): Promise<TestResult> {
  const answer = await probe(url + path);
  const name = `GET ${path} at the new revision`;
  if (answer.status === undefined) return { ok: false, message: `${name}: no response (${answer.error})` };
  if (!isGood(answer)) return { ok: false, message: `${name}: status ${answer.status}` };
  if (contains !== undefined && !answer.body.includes(contains)) {
    return { ok: false, message: `${name}: the response does not contain ${JSON.stringify(contains)}` };
  }
  return { ok: true };
}

/** A test that hangs must not keep the release for ever. In milliseconds. */
export const longest = 10 * 60_000;

/**
 * Variables that a test does not get: with ACTIONS_ID_TOKEN_REQUEST_TOKEN it could sign in as the release does, and
 * with the others change later steps of the job.
 */
const isWithheld = (name: string) => /^(ACTIONS_.*|GITHUB_(OUTPUT|ENV|PATH|STEP_SUMMARY|STATE))$/i.test(name);

/** How much of the output of a test is printed, in characters. */
const longestOutput = 65_536;

/** How long the output of a test is awaited after its end, in milliseconds. */
const lastOutput = 1_000;

/**
 * A test ends with all processes that it has started: one that stays would keep the output open, and the release
 * waiting.
 *
 * @param log prints the output of a test. The reason of a release has none of it: all readers of the app see that.
 * @param limit in milliseconds
 */
export function createRunTest(log: (output: string) => void, limit = longest): RunTest {
  return (command, environment) =>
    new Promise((resolve) => {
      const inherited = Object.entries(process.env).filter(([name]) => !isWithheld(name));
      const child = spawn(command, {
        shell: true,
        env: { ...Object.fromEntries(inherited), ...environment },
        stdio: ["ignore", "pipe", "pipe"],
        detached: true, // a process group of its own
      });
      const end = () => {
        try {
          if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
        } catch {
          child.kill("SIGKILL"); // the group is empty, or the system has none
        }
      };
      process.once("exit", end); // Ctrl-C in the terminal does not reach the group
      let isLate = false;
      const timer = setTimeout(() => {
        isLate = true;
        end();
      }, limit);
      let output = "";
      const collect = (chunk: string) => {
        output = (output + chunk).slice(-longestOutput);
      };
      child.stdout.setEncoding("utf8").on("data", collect);
      child.stderr.setEncoding("utf8").on("data", collect);
      const fail = (why: string) => resolve({ ok: false, message: `the test \`${command}\` ${why}` });
      child.once("error", (error) => fail(`does not start: ${error.message}`));
      child.once("exit", async (code, signal) => {
        clearTimeout(timer);
        process.off("exit", end);
        const closed = new Promise((close) => child.once("close", close));
        end();
        await Promise.race([closed, sleep(lastOutput, undefined, { ref: false })]);
        if (output.trim() !== "") log(output.trimEnd());
        if (isLate) fail(`took longer than ${limit / 60_000} minutes`);
        else if (code === 0) resolve({ ok: true });
        else fail(code === null ? `was ended by ${signal}` : `exits with ${code}. Its output is in the log`);
      });
    });
}
