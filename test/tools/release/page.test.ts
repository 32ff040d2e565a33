// What docs/operate/release.md says, against the command, the schema, the judge, the workflow and the template.
// test/infra/az-lines.test.ts parses its az commands.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { parse } from "yaml";
import { simulateRelease, simulateRivals } from "../../../bench/release/simulate.ts";
import { fewestBad, judge, needed } from "../../../tools/release/core/judge.ts";
import { holds } from "../../../tools/release/core/tags.ts";
import { formatDuration } from "../../../tools/release/definition/duration.ts";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";
import { readOptions } from "../../../tools/release/options.ts";
import { outcomes, type Report } from "../../../tools/release/show/report.ts";
import { renderStatus } from "../../../tools/release/show/status.ts";
import { readVariables } from "../../simulators/container-apps/printed.ts";
import { at } from "../../support/at.ts";
import { listCommands } from "../../support/az.ts";
import { readBlocks } from "../../support/markdown.ts";
import { root, run as runProcess } from "../../support/processes.ts";

const path = "docs/operate/release.md";
const read = (file: string) => readFileSync(join(root, file), "utf8");
const page = read(path);
const blocks = readBlocks("docs/operate/release.md").map(({ command }) => command);
const workflow = parse(read(".github/workflows/release.yml"));

/** The rows of the table under a heading, as cells. */
const readTable = (heading: string) =>
  (page.split(`\n${heading}\n`)[1]?.split("\n## ")[0] ?? "")
    .split("\n")
    .filter((line) => /^ *\|/.test(line))
    .slice(2)
    .map((line) =>
      line
        .split("|")
        .map((cell) => cell.trim())
        .slice(1, -1),
    );

describe.concurrent(`${path}, without Azure`, () => {
  const { scripts } = JSON.parse(read("package.json"));
  const [start = "", good = "", bad = "", held = "", goOn = ""] = blocks;
  const [plan = "", run = ""] = good.split("\n");
  const [status = "", promote = ""] = goOn.split("\n");

  /**
   * Runs commands of the page on a simulator. Fewer requests leave processors for the simulators that run side by side;
   * releases need no longer with them: see the first weight in the release.yaml of the simulator. At a higher speed, a
   * busy machine would need longer than the five minutes that a release waits for a change.
   */
  async function simulate(
    use: (simulator: {
      release(command: string): Promise<{ code: number | null; output: string }>;
      output(): string;
    }) => Promise<void>,
  ) {
    const quick = [...scripts.simulate.split(" ").slice(1), "--rate", "4", "--speed", "50"];
    const simulator = runProcess(process.execPath, quick);
    try {
      await vi.waitFor(() => expect(simulator.output()).toMatch(/welcome--0000001 200 +\d/), { timeout: 30_000 });
      const variables = readVariables(simulator.output());
      await use({
        async release(command) {
          const [, args = ""] = command.split(" -- ");
          const client = runProcess(process.execPath, `${scripts.release} ${args}`.split(" ").slice(1), variables);
          await client.ended;
          return { code: await client.end(), output: client.output() };
        },
        output: simulator.output,
      });
    } finally {
      await simulator.end();
    }
  }

  test("the first blocks start the simulator, release a good version, a bad one, and one that holds", () => {
    expect(start).toBe("npm run simulate");
    expect(run).toMatch(/ run welcome .*:2\.0\.0$/);
    expect(bad).toMatch(/ run welcome .*:2\.0\.0-errors$/);
  });

  test("a bad version goes back, users see only its own errors, and then 4.0.0-slow goes back", async () => {
    expect(page).toContain("`4.0.0-slow` goes back");
    await simulate(async ({ release, output }) => {
      expect(await release(plan)).toMatchObject({ code: 0, output: expect.stringContaining("welcome:2.0.0") });
      expect(await release(bad)).toMatchObject({ code: 2, output: expect.stringContaining("rolled back: ") });
      const counts = new Map(
        [...output().matchAll(/^(welcome--\w+ \d+) +(\d+)$/gm)].map(([, key, count]) => [key, Number(count)]),
      );
      const statuses = [...counts.keys()].map((key) => key?.replace(/--r\w{8}/, "--candidate")).toSorted();
      expect(statuses).toEqual(["welcome--0000001 200", "welcome--candidate 200", "welcome--candidate 500"]);
      const slow = held.replace("3.0.0", "4.0.0-slow");
      expect(await release(slow)).toMatchObject({ code: 2, output: expect.stringMatching(/rolled back: .*slow/) });
    });
  }, 180_000);

  test("a release holds for a person, and promote ends it", async () => {
    await simulate(async ({ release }) => {
      expect(await release(held)).toMatchObject({ code: 3, output: expect.stringContaining("on hold: ") });
      expect(await release(status)).toMatchObject({ code: 0, output: expect.stringContaining("on hold: confirm") });
      expect(await release(promote)).toMatchObject({ code: 0, output: expect.stringContaining("promoted: ") });
    });
  }, 240_000);
});

describe(path, () => {
  const env = {
    AZURE_SUBSCRIPTION_ID: "11111111-1111-4111-8111-111111111111",
    AZURE_RESOURCE_GROUP: "rg-dapr-samples",
  };
  const commands = blocks
    .flatMap((block) => block.split("\n"))
    .flatMap((line) => /^npm run (?:--silent )?release -- ([^|]+)/.exec(line)?.[1]?.trim() ?? [])
    .map((line) => line.replace("$REGISTRY", "contoso.azurecr.io"));

  test.each(commands)("npm run release accepts %s", (command) => {
    expect(readOptions(command.split(" "), env)).toMatchObject({ app: "welcome" });
  });

  test("shows each command of npm run release", () => {
    const kinds = commands.map((command) => command.split(" ")[0]);
    expect([...new Set(kinds)].toSorted()).toEqual(["abort", "plan", "promote", "run", "status"]);
  });

  test("has a release.yaml that the command accepts", () => {
    const [, text = ""] = /```yaml\n(.*?)```/s.exec(page) ?? [];
    expect(parseDefinition(text, path)).toMatchObject({ app: "welcome" });
  });

  test("says how long a release of welcome takes, without and with all extensions", () => {
    const { steps, bake, inconclusive } = parseDefinition(read("services/welcome/release.yaml"), "release.yaml");
    const seconds = steps.reduce((sum, step) => sum + step.for, bake);
    const longest = seconds + (steps.length + 1) * inconclusive.extend;
    const text = page.replaceAll(/\s+/g, " ");
    expect(text).toContain(
      `takes ${seconds / 60} minutes if each step gets enough requests, and ${formatDuration(longest)} if`,
    );
  });

  test("explains each field of release.yaml", () => {
    const { properties } = JSON.parse(read("tools/release/release.schema.json"));
    const explained = readTable("## release.yaml").map(([field]) => field?.replaceAll("`", ""));
    expect(Object.keys(properties).filter((name) => !explained.includes(name))).toEqual([]);
  });

  test("explains each exit code", () => {
    const codes = readTable("## Exit codes").map(([code]) => Number(code));
    expect(codes).toEqual([...new Set(Object.values(outcomes))]);
  });

  test("explains each reason of a hold", () => {
    const reasons = readTable("## Hold, and promote").map(([reason]) => reason?.replaceAll("`", ""));
    expect(reasons.toSorted()).toEqual(holds.toSorted());
  });

  test("draws the intervals that the judge computes for the counts beside them", () => {
    const rows = [...page.matchAll(/^(\w+) +(\d+) of (\d+) +(\d+) of (\d+) +([·━┊┃●]+) /gm)];
    expect(rows.map(([, verdict]) => verdict)).toEqual(["inconclusive", "pass", "fail"]);
    for (const [, expected, ...cells] of rows) {
      const [bad = 0, total = 0, liveBad = 0, liveTotal = 0] = cells.slice(0, 4).map(Number);
      const [next, live] = [
        { bad, total },
        { bad: liveBad, total: liveTotal },
      ];
      const { verdict, strict, usual } = judge(next, live, { margin: 0.01, max: 0.05, looks: 100 });
      expect(verdict).toBe(expected);
      const interval = verdict === "fail" ? strict : usual;
      const report: Report = {
        at: 0,
        app: "welcome",
        image: undefined,
        phase: "step 1 of 3",
        hold: undefined,
        live: { revision: "a", weight: 95 },
        next: { revision: "b", weight: 5 },
        checks: [{ name: "5xx", verdict, margin: 0.01, next, live, needed: undefined, ...interval }],
        probes: [],
        message: "",
        until: undefined,
      };
      expect(renderStatus(report)).toContain(cells[4]?.trim());
    }
  });

  test("names the numbers of the judge", () => {
    const rule = { margin: 0.01, max: 0.05, looks: 100 };
    const requests = needed({ bad: 0, total: 0 }, { bad: 0, total: 1e9 }, rule, 5);
    expect(page).toContain(`a margin of 1 % takes ${requests} requests`);
    expect(fewestBad).toBe(3);
    expect(page).toContain("from three bad requests on");
  });

  test("has the figures of the simulated releases, at 0.5 % bad requests", () => {
    const percent = (share: number | undefined) => `${Number((100 * (share ?? Number.NaN)).toFixed(1))} %`;
    const { same, twice } = simulateRelease(2_000, 10, 0.005);
    const rows = readTable("### How often it is wrong");
    expect(rows.find(([bad]) => bad === "0.5 %")).toEqual([
      "0.5 %",
      [same.promoted, same.held, same["rolled back"]].map(percent).join(", "),
      [twice["rolled back"], twice.held, twice.promoted].map(percent).join(", "),
    ]);
    const rivals = simulateRivals(2_000, 10, 0.005, 0);
    const text = page.replaceAll(/\s+/g, " ");
    expect(text).toContain(`99 % successes, rolls back ${percent(rivals.flagger["rolled back"])} of the versions`);
    expect(text).toContain(`1 % errors, rolls back ${percent(rivals.smartdeploy["rolled back"])} and all`);
  }, 180_000);

  test("protects each environment of release.yml, and sets each variable that it reads", () => {
    const environments = new Set(
      JSON.stringify(Object.values(workflow.jobs).map((job) => at(job, "environment")))
        .match(/(?<=['"])release(-\w+)?(?=['"])/g)
        ?.toSorted(),
    );
    const described = readTable("## Release from GitHub").map(([name]) => name?.replaceAll("`", ""));
    expect(described).toEqual([...environments]);
    const script = blocks.filter((block) => block.includes("gh variable set")).join("\n");
    expect(script).toContain(`for environment in ${[...environments].join(" ")}; do`);
    const variables = [...read(".github/workflows/release.yml").matchAll(/\bvars\.(\w+)/g)].map(([, name]) => name);
    for (const name of new Set(variables)) expect(page).toMatch(new RegExp(`gh variable set ${name}|set \`${name}\``));
  });

  test("passes releaser.bicep the parameters that it needs", () => {
    const [create = []] = listCommands(blocks.join("\n")).filter((command) => command.includes("releaser"));
    const passed = create.slice(create.indexOf("--parameters") + 1).map((parameter) => parameter.split("=")[0]);
    const required = [...read("infra/bicep/releaser.bicep").matchAll(/^param (\w+) [\w[\]]+$/gm)].map(
      ([, name]) => name,
    );
    expect(passed.toSorted()).toEqual(required.toSorted());
  });
});
