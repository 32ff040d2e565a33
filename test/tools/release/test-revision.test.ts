import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Test } from "../../../tools/release/definition/definition.ts";
import { type Answer, isGood, probe } from "../../../tools/release/run/probe.ts";
import { createRunTest, testRevision } from "../../../tools/release/run/test-revision.ts";
import { createShow } from "../../../tools/release/show/show.ts";
import { measure } from "../../support/stopwatch.ts";
import { definition } from "./model.ts";

const tested = { url: "https://welcome---green.example.com", revision: "welcome--r12345678" };

/** Runs the tests with these answers, one after the other, and this result of commands. */
async function run(tests: readonly Test[], answers: readonly Answer[], isGreen = true) {
  const urls: string[] = [];
  const commands: unknown[] = [];
  const left = [...answers];
  const result = await testRevision(
    { ...definition, test: tests },
    tested,
    async (url) => {
      urls.push(url);
      return left.shift() ?? { status: undefined, body: "", error: "ECONNREFUSED" };
    },
    async (command, environment) => {
      commands.push([command, environment]);
      return isGreen ? { ok: true } : { ok: false, message: "the test exits with 1" };
    },
    async () => {
      commands.push("before");
    },
  );
  return { result, urls, commands };
}

const answer = (status: number, body = ""): Answer => ({ status, body });

describe("the tests at the label", () => {
  test("succeed when each GET has a status from 200 to 299 and contains its text", async () => {
    const { result, urls } = await run(
      [{ get: "/readyz" }, { get: "/", contains: "Hello" }],
      [answer(204), answer(200, "Hello!")],
    );
    expect(result).toEqual({ ok: true });
    expect(urls).toEqual([`${tested.url}/readyz`, `${tested.url}/`]);
  });

  test("try a GET twice, because the first one can come before the route of the label", async () => {
    const { result, urls } = await run([{ get: "/" }], [answer(404), answer(200)]);
    expect(result).toEqual({ ok: true });
    expect(urls).toHaveLength(2);
  });

  test.each<[string, Test, Answer]>([
    ["GET / at the new revision: status 500", { get: "/" }, answer(500)],
    ["GET / at the new revision: status 302", { get: "/" }, answer(302)],
    [
      'GET / at the new revision: the response does not contain "Hello"',
      { get: "/", contains: "Hello" },
      answer(200, "Bye"),
    ],
    [
      "GET / at the new revision: no response (ECONNREFUSED)",
      { get: "/" },
      { status: undefined, body: "", error: "ECONNREFUSED" },
    ],
  ])("fail with: %s", async (message, one, bad) => {
    expect((await run([one, { get: "/never" }], [bad, bad])).result).toEqual({ ok: false, message });
  });

  test("run a command with the address and the name of the revision, and stop at the first that fails", async () => {
    const { result, commands } = await run([{ run: "npm run smoke" }, { run: "never" }], [], false);
    expect(result).toEqual({ ok: false, message: "the test exits with 1" });
    expect(commands).toEqual([
      "before",
      ["npm run smoke", { RELEASE_URL: tested.url, RELEASE_REVISION: tested.revision }],
    ]);
  });
});

describe("a command", () => {
  let logged: string[] = [];
  const runTest = createRunTest((output) => logged.push(output));
  afterEach(() => {
    logged = [];
    vi.unstubAllEnvs();
  });
  const node = (program: string) => `"${process.execPath}" -e "${program}"`;

  test("succeeds with exit code 0, and reads the variables", async () => {
    const program = "process.exit(process.env.RELEASE_URL === 'u' ? 0 : 1)";
    expect(await runTest(node(program), { RELEASE_URL: "u" })).toEqual({ ok: true });
  });

  test("fails with its exit code, and its output is only in the log", async () => {
    const result = await runTest(node("console.log('one'); console.error('no database'); process.exit(3)"), {});
    expect(result).toEqual({
      ok: false,
      message: expect.stringMatching(/^the test `.*` exits with 3\. Its output is in the log$/),
    });
    expect(logged.join("\n").split("\n").toSorted()).toEqual(["no database", "one"]);
  });

  test.each([
    ["that takes too long", "sleep 30 & sleep 30", false],
    ["that leaves one running", "sleep 30 & exit 0", true],
  ])("%s ends with all processes that it has started", async (_, command, ok) => {
    let result: Awaited<ReturnType<typeof runTest>> | undefined;
    const milliseconds = await measure(async () => {
      result = await createRunTest(() => {}, ok ? 60_000 : 300)(`${command} # ${process.pid}`, {});
    });
    expect(milliseconds).toBeLessThan(5_000);
    expect(result?.ok).toBe(ok);
    if (result?.ok === false) expect(result.message).toContain("took longer than 0.005 minutes");
  });

  test("gets no variable with which it could sign in as the release or change other steps of the job", async () => {
    const withheld = [
      "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
      "ACTIONS_ID_TOKEN_REQUEST_URL",
      "ACTIONS_RUNTIME_TOKEN",
      "GITHUB_OUTPUT",
      "GITHUB_ENV",
      "GITHUB_PATH",
      "GITHUB_STEP_SUMMARY",
      "GITHUB_STATE",
    ];
    for (const name of [...withheld, "GITHUB_SHA"]) vi.stubEnv(name, "value");
    const program = "console.log(Object.keys(process.env).filter((name) => /^(ACTIONS|GITHUB)_/.test(name)).join())";
    expect(await runTest(node(program), {})).toEqual({ ok: true });
    expect(logged).toHaveLength(1);
    const names = logged[0]?.split(",") ?? [];
    expect(names).toContain("GITHUB_SHA");
    expect(names.filter((name) => withheld.includes(name) || name.startsWith("ACTIONS_"))).toEqual([]);
  });

  test.each([true, false])("shows its output as quoted lines, which run nothing (terminal: %s)", (isTTY) => {
    let printed = "";
    const output = { isTTY, columns: 80, write: (text: string) => (printed += text) };
    createShow(output as unknown as NodeJS.WriteStream, {}, () => 0).log(
      "::error::no\n  \x1b[2Jtwo\n\nthree ##[error]",
    );
    expect(printed).toBe("| ::error::no\n| [2Jtwo\n|\n| three ## [error]\n");
  });
});

describe("a probe", () => {
  const closers: (() => void)[] = [];
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function serve(status: number, body: string): Promise<string> {
    const server = createServer((_, response) => response.writeHead(status).end(body)).listen(0, "127.0.0.1");
    closers.push(() => server.close());
    await new Promise((resolve) => server.once("listening", resolve));
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  test("returns the status and the body", async () => {
    expect(await probe(await serve(503, "starts"))).toEqual({ status: 503, body: "starts" });
  });

  test("returns the reason without a response", async () => {
    const url = await serve(200, "");
    closers.splice(0)[0]?.();
    expect(await probe(url)).toMatchObject({ status: undefined, error: expect.stringContaining("ECONNREFUSED") });
  });

  test.each([
    [199, false],
    [200, true],
    [299, true],
    [300, false],
    [undefined, false],
  ])("with the status %s is good: %s", (status, good) => {
    expect(isGood({ status, body: "" })).toBe(good);
  });
});
