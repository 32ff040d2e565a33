// What a person sees of a release: the live table, plain lines, the page of `status`, and what GitHub Actions shows.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { WriteStream } from "node:tty";
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { type Outcome, outcomes, type Report } from "../../../tools/release/show/report.ts";
import { createShow } from "../../../tools/release/show/show.ts";
import { renderStatus } from "../../../tools/release/show/status.ts";

const minute = 60_000;
const at = Date.UTC(2026, 7, 26, 11, 5);

const report: Report = {
  at,
  app: "welcome",
  image: "ghcr.io/contoso/welcome:1.1.0",
  phase: "step 1 of 3",
  hold: undefined,
  live: { revision: "welcome--r1a2b3c4d", weight: 95 },
  next: { revision: "welcome--r9f8e7d6c", weight: 5 },
  checks: [
    {
      name: "5xx",
      verdict: "inconclusive",
      margin: 0.01,
      next: { bad: 0, total: 152 },
      live: { bad: 11, total: 2904 },
      difference: -0.0038,
      low: -0.006,
      high: 0.0135,
      needed: 116,
    },
    {
      name: "slow",
      verdict: "fail",
      margin: 0.005,
      next: { bad: 9, total: 152 },
      live: { bad: 31, total: 2904 },
      difference: 0.0485,
      low: 0.011,
      high: 0.15,
      needed: undefined,
    },
  ],
  probes: [{ name: "alive", isFailing: false }],
  message: "compares the requests from 11:00 UTC on.",
  until: at + 6 * minute,
};
const tests: Report = {
  ...report,
  at: at - 10 * minute,
  phase: "tests",
  live: { revision: "welcome--r1a2b3c4d", weight: 100 },
  next: { revision: "welcome--r9f8e7d6c", weight: 0 },
  checks: [],
  probes: [],
  message: "Runs 3 tests at the label green.",
  until: undefined,
};

const back: Report = { ...tests, at: at + minute, phase: "back", message: "All traffic goes back." };
const rolledBack: Report = { ...back, phase: "idle", image: "ghcr.io/contoso/welcome:1.0.0", next: undefined };

const attack = "a\u001b[2J\r\n::error::b %0A | `c` <d> ##[e]\u2028*f*";

/** A stream like process.stdout, and the screen of a terminal that reads it. */
function openStream(options: { isTTY: boolean; columns?: number; rows?: number }) {
  const { getColorDepth } = WriteStream.prototype; // it reads NO_COLOR
  const stream = Object.assign(new PassThrough(), { getColorDepth, ...options }) as unknown as NodeJS.WriteStream;
  const writes: string[] = [];
  stream.on("data", (data: Buffer) => writes.push(data.toString()));
  return { stream, writes, read: () => writes.join("") };
}

/** The rows that a terminal of this width shows after this output, without trailing spaces. */
function readScreen(output: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let row = 0;
  let column = 0;
  const rowAt = (index: number) => (rows[index] ??= []);
  for (const [token, count, code] of reveal(output).matchAll(/␛\[(\d*)([AKJ])|./gsu)) {
    if (code === "A") row = Math.max(0, row - Number(count));
    else if (code === "K") rowAt(row).length = Math.min(column, rowAt(row).length);
    else if (code === "J") rows.length = row;
    else if (token === "␍") column = 0;
    else if (token === "\n") {
      row++;
      column = 0;
    } else {
      if (column === columns) {
        row++;
        column = 0;
      }
      rowAt(row)[column++] = token;
    }
  }
  return rows.map((cells) => cells.join("").trimEnd());
}

/** Output without colors, with visible control characters. */
const reveal = (output: string) =>
  output
    .replaceAll("\x1b", "␛")
    .replaceAll("\r", "␍")
    .replaceAll(/␛\[\d+m/g, "");

function printAll(reports: readonly Report[], options: { isTTY: boolean; columns?: number; rows?: number }) {
  const opened = openStream(options);
  const show = createShow(opened.stream, {}, () => at + 1000);
  for (const item of reports) show.report(item);
  return { ...opened, show };
}

beforeEach(() => {
  vi.stubEnv("NO_COLOR", undefined);
  vi.stubEnv("FORCE_COLOR", undefined);
  vi.stubEnv("NODE_DISABLE_COLORS", undefined);
  // Node decides by these which colors a terminal has: in CI, COLORTERM does not count.
  for (const name of ["CI", "TEAMCITY_VERSION", "TF_BUILD"]) vi.stubEnv(name, undefined);
  vi.stubEnv("TERM", "xterm-256color");
  vi.stubEnv("COLORTERM", "truecolor");
});
afterEach(() => vi.unstubAllEnvs());

describe("the live table", () => {
  test("shows weights, counts, intervals, verdicts, requests needed and the time left", () => {
    const { read } = printAll([report], { isTTY: true, columns: 130 });
    expect(readScreen(read(), 130)).toEqual([
      "welcome to ghcr.io/contoso/welcome:1.1.0",
      "step 1 of 3, 6 min left",
      "",
      "live  welcome--r1a2b3c4d   95 %  ███████████████████",
      "new   welcome--r9f8e7d6c    5 %  █",
      "",
      "check  verdict       new: bad  live: bad   points worse     margin  needed          ┊0  ┃margin",
      "5xx    inconclusive  0 of 152  11 of 2904  -0.6 to +1.4     1       116     ······●━┊━━━┃━···········",
      "slow   fail          9 of 152  31 of 2904  +1.10 to +15.00  0.5             ········┊···┃····━━━━━━━●",
      "alive  pass",
      "points worse: the likely range of the difference; needed: requests to pass",
      "",
      "Compares the requests from 11:00 UTC on.",
    ]);
  });

  test("replaces the last frame in place, with one write for each look", () => {
    const { read, writes } = printAll([report, tests, report, tests], { isTTY: true, columns: 130 });
    expect(writes).toHaveLength(4);
    expect(readScreen(read(), 130)).toEqual([
      "welcome to ghcr.io/contoso/welcome:1.1.0",
      "tests",
      "",
      "live  welcome--r1a2b3c4d  100 %  ████████████████████",
      "new   welcome--r9f8e7d6c    0 %",
      "",
      "Runs 3 tests at the label green.",
    ]);
  });

  test("overwrites the old frame and erases only what the new one does not cover", () => {
    const { writes } = printAll([report, report], { isTTY: true, columns: 130 });
    const erased = reveal(writes[1] ?? "").split("\n");
    expect(erased.at(0)).toMatch(/^␛\[13A␍welcome to /);
    for (const line of erased.slice(0, -1)) expect(line).toMatch(/^(␛\[13A␍)?[^␛]*␛\[K$/);
    expect(erased.at(-1)).toBe("␛[J");
  });

  test("leaves the last state and the outcome on the screen", () => {
    const { read, show } = printAll([tests], { isTTY: true, columns: 130 });
    show.end("rolledBack", "GET /readyz returned 503 at the label green.");
    expect(readScreen(read(), 130)).toEqual([
      "welcome to ghcr.io/contoso/welcome:1.1.0",
      "",
      "live  welcome--r1a2b3c4d  100 %  ████████████████████",
      "new   welcome--r9f8e7d6c    0 %",
      "",
      "Rolled back: GET /readyz returned 503 at the label green.",
    ]);
  });

  test("keeps the new revision and the checks on the screen when the last look no longer has them", () => {
    const { read, show } = printAll([report, back, rolledBack], { isTTY: true, columns: 60 });
    show.end("rolledBack", "check slow: 9 of 152 requests are bad.");
    expect(readScreen(read(), 60)).toEqual([
      "welcome to ghcr.io/contoso/welcome:1.1.0",
      "",
      "live  welcome--r1a2b3c4d  100 %  ████████████████████",
      "new   welcome--r9f8e7d6c    0 %",
      "",
      "check  verdict       new: bad  live: bad   points worse",
      "5xx    inconclusive  0 of 152  11 of 2904  -0.6 to +1.4",
      "slow   fail          9 of 152  31 of 2904  +1.10 to +15.00",
      "alive  pass",
      "",
      "Rolled back: check slow: 9 of 152 requests are bad.",
    ]);
  });

  test("shows a promoted revision as the live one only", () => {
    const live = { revision: "welcome--r9f8e7d6c", weight: 100 };
    const promoted = { ...rolledBack, live };
    const { read, show } = printAll([tests, promoted], { isTTY: true, columns: 60 });
    show.end("promoted", "all traffic is on welcome--r9f8e7d6c");
    expect(readScreen(read(), 60).filter((line) => line.includes(" %"))).toEqual([
      "live  welcome--r9f8e7d6c  100 %  ████████████████████",
    ]);
  });

  test.for([130, 90, 60, 24])("never writes a line that is wider than a window of %i columns", (columns) => {
    const wide = { ...report, message: "A sentence of many words, which needs more than one line in a narrow window." };
    const { read } = printAll([wide], { isTTY: true, columns });
    const lines = stripVTControlCharacters(read()).split("\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
  });

  test("has the verdict, both counts, the interval, the margin and what is needed in 80 columns", () => {
    const { read } = printAll([report], { isTTY: true, columns: 80 });
    expect(readScreen(read(), 80).slice(6, 8)).toEqual([
      "check  verdict       new: bad  live: bad   points worse     margin  needed",
      "5xx    inconclusive  0 of 152  11 of 2904  -0.6 to +1.4     1       116",
    ]);
  });

  test("leaves out the picture, the margin and then what is needed where the window is narrow", () => {
    const { read } = printAll([report], { isTTY: true, columns: 60 });
    expect(readScreen(read(), 60).slice(6, 10)).toEqual([
      "check  verdict       new: bad  live: bad   points worse",
      "5xx    inconclusive  0 of 152  11 of 2904  -0.6 to +1.4",
      "slow   fail          9 of 152  31 of 2904  +1.10 to +15.00",
      "alive  pass",
    ]);
  });

  test("never writes a frame that is higher than the window, which could not be replaced", () => {
    const { writes } = printAll([report, report], { isTTY: true, columns: 130, rows: 5 });
    expect(writes[1]?.match(/\n/g)).toHaveLength(4);
    expect(writes[1]).toContain("\x1b[4A");
  });

  test("replaces a frame whose lines take more rows since the window became narrower", () => {
    const { stream, writes, show } = printAll([tests], { isTTY: true, columns: 130 });
    Object.assign(stream, { columns: 40 });
    show.report(tests);
    // 40, 5, 0, 53, 33, 0 and 32 cells
    expect(reveal(writes[1] ?? "")).toMatch(/^␛\[8A␍/);
  });

  test("has colors in a terminal, and none with NO_COLOR", () => {
    expect(printAll([report], { isTTY: true, columns: 130 }).read()).toContain("\x1b[31mfail");
    vi.stubEnv("NO_COLOR", "1");
    expect(printAll([report], { isTTY: true, columns: 130 }).read()).not.toContain("\x1b[31m");
  });

  test("counts characters of East Asian scripts as two cells, and combining ones as none", () => {
    const wide = { ...report, checks: report.checks.map((check) => ({ ...check, name: "遅い" })), probes: [] };
    const rows = readScreen(printAll([wide], { isTTY: true, columns: 130 }).read(), 130);
    expect(rows[6]).toMatch(/^check {2}verdict/);
    expect(rows[7]).toMatch(/^遅い {3}inconclusive/);
  });

  test("says that there are no requests yet, in place of an interval", () => {
    const none = { bad: 0, total: 0 };
    const [check] = report.checks;
    if (check === undefined) throw new Error("no check");
    const empty = { ...report, checks: [{ ...check, next: none, low: -1, high: 1 }], probes: [] };
    expect(readScreen(printAll([empty], { isTTY: true, columns: 130 }).read(), 130)[7]).toBe(
      "5xx    inconclusive  0 of 0    11 of 2904                1       116",
    );
  });
});

describe("plain lines", () => {
  test("have the time, the weights, the counts and what happens", () => {
    const { read, show } = printAll([report], { isTTY: false });
    show.end("promoted", "All traffic reaches welcome--r9f8e7d6c.");
    expect(read().split("\n")).toEqual([
      "2026-08-26T11:05:00Z welcome step 1 of 3, 6 min left | welcome--r1a2b3c4d 95 %, welcome--r9f8e7d6c 5 % | " +
        "5xx inconclusive (bad 0 of 152, live 11 of 2904, -0.6 to +1.4 points worse, 116 requests needed) | " +
        "slow fail (bad 9 of 152, live 31 of 2904, +1.10 to +15.00 points worse) | alive pass | compares the requests from 11:00 UTC on.",
      "2026-08-26T11:05:01Z promoted: All traffic reaches welcome--r9f8e7d6c.",
      "",
    ]);
  });

  test("appear where a terminal cannot move its cursor", () => {
    const { stream, read } = openStream({ isTTY: true, columns: 80 });
    createShow(stream, { TERM: "dumb" }, () => at).report(report);
    expect(read()).toMatch(/^2026-08-26T11:05:00Z welcome .*\n$/);
  });

  test.for<[string, Partial<Report>]>([
    ["the phase", { phase: "step 2 of 3" }],
    ["a hold", { hold: "confirm" }],
    ["a weight", { next: { revision: "welcome--r9f8e7d6c", weight: 25 } }],
    ["a verdict", { checks: report.checks.map((check) => ({ ...check, verdict: "pass" })) }],
    ["a probe", { probes: [{ name: "alive", isFailing: true }] }],
    ["the message", { message: "Goes back." }],
  ])("follow a change of %s", ([, change]) => {
    expect(
      printAll([report, { ...report, ...change }], { isTTY: false })
        .read()
        .split("\n"),
    ).toHaveLength(3);
  });

  test("say the reason of a rollback once, and again at the end", () => {
    const reason = "5xx is worse by more than 1 point: 5 of 38 requests are bad";
    const step = { ...back, message: `all traffic goes back to a: ${reason}.` };
    const { read, show } = printAll([step, { ...back, message: `all traffic is back on a: ${reason}.` }], {
      isTTY: false,
    });
    show.end("rolledBack", `r9f8e7d6c was rolled back: ${reason}`);
    expect(read().match(/worse by more/g)).toHaveLength(2);
    expect(read()).toContain("| all traffic is back on a.\n");
  });

  test("have no line for an app without a release before the line of the end", () => {
    const { read, show } = printAll([{ ...rolledBack, message: "" }], { isTTY: false });
    show.end("nothing", "no release is under way");
    expect(read()).toBe("2026-08-26T11:05:01Z nothing to do: no release is under way\n");
  });

  test("do not follow a look in which only counts and times changed", () => {
    const later = {
      ...report,
      at: at + minute,
      checks: report.checks.map((check) => ({ ...check, next: { bad: 0, total: 200 }, high: 0.01, needed: 50 })),
    };
    expect(printAll([report, later], { isTTY: false }).read().split("\n")).toHaveLength(2);
  });
});

describe("status", () => {
  test("is a page of facts and checks", () => {
    expect(renderStatus({ ...report, hold: "confirm", until: undefined }).split("\n")).toEqual([
      "app    welcome",
      "image  ghcr.io/contoso/welcome:1.1.0",
      "time   2026-08-26T11:05:00Z",
      "phase  step 1 of 3, on hold: confirm",
      "live   welcome--r1a2b3c4d  95 %  ███████████████████",
      "new    welcome--r9f8e7d6c  5 %  █",
      "",
      "check  verdict       new: bad  live: bad   points worse     margin  needed          ┊0  ┃margin",
      "5xx    inconclusive  0 of 152  11 of 2904  -0.6 to +1.4     1       116     ······●━┊━━━┃━···········",
      "slow   fail          9 of 152  31 of 2904  +1.10 to +15.00  0.5             ········┊···┃····━━━━━━━●",
      "alive  pass",
      "",
      "Compares the requests from 11:00 UTC on.",
    ]);
  });

  test("fits into the width of the terminal, with its message in several lines", () => {
    const lines = renderStatus(
      { ...report, message: "A sentence that is longer than the terminal is wide. ".repeat(3) },
      80,
    );
    expect(Math.max(...lines.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
    expect(lines).toContain("116");
  });

  test("of an app without a release names only the live revision", () => {
    const idle = { ...tests, image: undefined, next: undefined, phase: "idle", message: "No release runs." };
    expect(renderStatus(idle).split("\n")).toEqual([
      "app    welcome",
      "time   2026-08-26T10:55:00Z",
      "phase  idle",
      "live   welcome--r1a2b3c4d  100 %  ████████████████████",
      "",
      "No release runs.",
    ]);
  });
});

describe("in GitHub Actions", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "summary-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const readFile = (name: string) => readFileSync(join(folder, name), "utf8");
  function open(env: NodeJS.ProcessEnv = {}) {
    const opened = openStream({ isTTY: false });
    const files = { GITHUB_STEP_SUMMARY: join(folder, "summary"), GITHUB_OUTPUT: join(folder, "output") };
    const show = createShow(opened.stream, { GITHUB_ACTIONS: "true", ...files, ...env }, () => at);
    const readCommands = () => opened.read().match(/^::.*$/gm);
    return { ...opened, show, readCommands };
  }

  test("the summary has the weights, the checks and two charts", () => {
    const { show } = open();
    show.report(tests);
    show.report(report);
    expect(readFile("summary")).toBe(`## Release of welcome: step 1 of 3, 6 min left

Compares the requests from 11:00 UTC on.

|  | Revision | Weight | Image |
| --- | --- | --- | --- |
| live | welcome--r1a2b3c4d | 95 % |  |
| new | welcome--r9f8e7d6c | 5 % | ghcr.io/contoso/welcome:1.1.0 |

| Check | Verdict | New: bad | Live: bad | Points worse | Margin | Needed |
| --- | --- | --- | --- | --- | --- | --- |
| 5xx | inconclusive | 0 of 152 | 11 of 2904 | -0.6 to +1.4 | 1 | 116 |
| slow | fail | 9 of 152 | 31 of 2904 | +1.10 to +15.00 | 0.5 |  |
| alive | pass |  |  |  |  |  |

\`\`\`text
UTC    traffic of the new revision
10:55  tests          0 %
11:05  step 1 of 3    5 %  █

Interval of the difference: ┊ is 0, ┃ the margin
5xx   ······●━┊━━━┃━···········
slow  ········┊···┃····━━━━━━━●
\`\`\`
`);
  });

  test("the summary names the outcome at the end, and keeps what earlier commands of the step wrote", () => {
    writeFileSync(join(folder, "summary"), "Built.\n\n");
    const { show } = open();
    show.report(tests);
    show.end("rolledBack", "GET /readyz returned 503.");
    expect(readFile("summary")).toMatch(
      /^Built\.\n\n## Release of welcome: rolled back\n\nGET \/readyz returned 503\.\n/,
    );
    expect(readFile("summary").match(/^## /gm)).toHaveLength(1);
  });

  test.for<[Outcome, string]>([
    ["promoted", "::notice title=Release of welcome::promoted: Done."],
    ["nothing", "::notice title=Release of welcome::nothing to do: Done."],
    ["ongoing", "::notice title=Release of welcome::goes on: Done."],
    ["aborted", "::warning title=Release of welcome::aborted: Done."],
    ["rolledBack", "::error title=Release of welcome::rolled back: Done."],
    ["held", "::warning title=Release of welcome::on hold: Done."],
    ["foreign", "::error title=Release of welcome::changed by somebody else: Done."],
    ["unreachable", "::error title=Release of welcome::Azure is unreachable: Done."],
    ["unconfirmed", "::error title=Release of welcome::rollback unconfirmed: Done."],
    ["input", "::error title=Release of welcome::not started: Done."],
  ])("the outcome %s becomes an annotation", ([outcome, expected]) => {
    const { show, readCommands } = open();
    show.report(report);
    show.end(outcome, "Done.");
    expect(readCommands()).toEqual([expected]);
  });

  test("the outputs are the outcome, the revision, the step and the reason of a hold", () => {
    const { show } = open();
    show.report({ ...report, hold: "confirm" });
    show.end("held", "Step 1 asks for a person.");
    expect(readFile("output")).toBe("outcome=held\nrevision=welcome--r9f8e7d6c\nstep=step 1 of 3\nhold=confirm\n");
  });

  test("the summary and the outputs of a release that went back name its revision, its checks and how far it came", () => {
    const { show } = open();
    for (const item of [{ ...rolledBack, at: at - 11 * minute }, tests, report, back, rolledBack]) show.report(item);
    show.end("rolledBack", "check slow: 9 of 152 requests are bad.");
    expect(readFile("output")).toBe("outcome=rolledBack\nrevision=welcome--r9f8e7d6c\nstep=step 1 of 3\nhold=\n");
    expect(readFile("summary")).toContain("| new | welcome--r9f8e7d6c | 0 % | ghcr.io/contoso/welcome:1.1.0 |\n");
    expect(readFile("summary")).toContain("| slow | fail | 9 of 152 |");
    expect(readFile("summary")).toContain(`\`\`\`text
UTC    traffic of the new revision
10:55  tests          0 %
11:05  step 1 of 3    5 %  █
11:06  back           0 %

Interval`);
  });

  test.for([
    ["Go on with `promote welcome`, or back.", "Go on with <code>promote welcome</code>, or back."],
    ["1. `a", "&#49;. &#96;a."],
    ["`a|b` <i>`", "&#96;a&#124;b&#96; &#60;i&#62;&#96;"],
    ["`<b>`", "<code>&#60;b&#62;</code>"],
  ] as const)("the message %s becomes the paragraph %s", ([message, expected]) => {
    const { show } = open();
    show.end("held", message);
    expect(readFile("summary").split("\n\n")[1]?.trim()).toBe(expected);
  });

  test("the summary of a release with nothing to do has no chart", () => {
    const { show } = open();
    show.report(rolledBack);
    show.end("nothing", "No release is under way.");
    expect(readFile("summary")).not.toContain("```");
  });

  test("a release that never began has an outcome, too", () => {
    const { show, readCommands } = open();
    show.end("input", "release.yaml: line 3: weight must be at most 99");
    expect(readFile("output")).toBe("outcome=input\nrevision=\nstep=\nhold=\n");
    expect(readFile("summary")).toBe("## Release: not started\n\nrelease.yaml: line 3: weight must be at most 99.\n");
    expect(readCommands()).toEqual([
      "::error title=Release::not started: release.yaml: line 3: weight must be at most 99",
    ]);
  });

  test("a summary that cannot be written costs one warning, neither the release nor its outputs", () => {
    const { show, readCommands } = open({ GITHUB_STEP_SUMMARY: folder });
    show.report(report);
    show.report(tests);
    show.end("promoted", "Done.");
    expect(readCommands()).toEqual([
      expect.stringMatching(/^::warning::Error: EISDIR.* GitHub shows less of this release\.$/),
      "::notice title=Release of welcome::promoted: Done.",
    ]);
    expect(readFile("output")).toContain("outcome=promoted\n");
  });

  test("names and messages can forge no command, output, cell or markup", () => {
    const { show, read, readCommands } = open();
    const side = { revision: attack, weight: 50 };
    show.report({
      ...report,
      app: attack,
      image: attack,
      phase: attack,
      hold: attack,
      live: side,
      next: side,
      probes: [{ name: attack, isFailing: true }],
      message: attack,
    });
    show.end("held", attack);
    expect(readCommands()).toEqual([
      "::warning title=Release of a [2J %3A%3Aerror%3A%3Ab %250A | `c` <d> ## [e] *f*::" +
        "on hold: a [2J ::error::b %250A | `c` <d> ## [e] *f*",
    ]);
    expect(reveal(read())).not.toMatch(/##\[|[␛␍]/);
    expect(
      readFile("output")
        .trimEnd()
        .split("\n")
        .map((line) => line.split("=")[0]),
    ).toEqual(["outcome", "revision", "step", "hold"]);
    const tables = readFile("summary").split("```")[0] ?? "";
    // The message has the only markup: its text between backquotes.
    expect(tables).toContain("&#124; <code>c</code> &#60;d&#62; ");
    expect(reveal(tables.replace("<code>c</code>", ""))).not.toMatch(/[`<>*␛]/);
    for (const row of tables.match(/^\| (live|new) .*$/gm) ?? []) expect(row.match(/\|/g)).toHaveLength(5);
    expect(readFile("summary").match(/^```/gm)).toHaveLength(2);
  });
});

test("outside of GitHub Actions, a release writes no file, annotation or output", () => {
  const { read, show } = printAll([report], { isTTY: false });
  for (const outcome of Object.keys(outcomes) as Outcome[]) show.end(outcome, "Done.");
  expect(read()).not.toContain("::");
});
