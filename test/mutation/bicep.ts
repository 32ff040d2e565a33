// `npm run mutate:bicep`: changes the templates in one place at a time (mutants), in a copy of the repository, and
// expects the test file that names the mutant to fail. A text in the environment variable ONLY selects mutants.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { createVitest, type Vitest } from "vitest/node";
import { type Bicep, findBicep, startBicep } from "../support/bicep.ts";
import { root } from "../support/processes.ts";
import { type Mutant, mutants } from "./bicep-mutants.ts";

const only = process.env.ONLY ?? "";
const chosen = mutants.filter(({ file, replace }) => `${file} ${replace}`.includes(only));
const compiler = await findBicep();
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root })
  .toString()
  .split("\n")
  .filter(Boolean);
const started = performance.now();
const seconds = () => `${Math.round((performance.now() - started) / 1000)} s`;

// The tests inherit both. With CI set, they fail without a compiler, which would skip them otherwise.
process.env.BICEP = compiler;
process.env.CI = "true";

/** A copy of the repository, with a compiler and a test runner. */
interface Bench {
  readonly folder: string;
  readonly bicep: Bicep;
  readonly vitest: Vitest;
}

async function copy(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), "bicep-mutants-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const file of tracked) cpSync(join(root, file), join(folder, file));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const options = { root: folder, project: "infra", watch: false, bail: 1, maxWorkers: 1, reporters: [{}] };
  return { folder, bicep: startBicep(compiler, { folder }), vitest: await createVitest("test", options) };
}

/** Runs a test file in a copy until one test fails. Resolves with the failures. */
async function runTests({ folder, vitest }: Bench, test: string): Promise<string[]> {
  const file = vitest.getProjectByName("infra").createSpecification(join(folder, `test/infra/${test}.test.ts`));
  const { testModules, unhandledErrors } = await vitest.runTestSpecifications([file], false);
  const failures = testModules.flatMap((module) => [
    ...module.errors(),
    ...[...module.children.allSuites()].flatMap((suite) => suite.errors()),
    ...[...module.children.allTests("failed")].flatMap((test) => test.result().errors ?? []),
  ]);
  const none = testModules.flatMap((module) => [...module.children.allTests("passed")]).length === 0;
  return [...failures, ...unhandledErrors]
    .map((failure) => inspect(failure))
    .concat(none && failures.length === 0 ? "no test ran" : []);
}

/** Resolves with undefined when a test fails, otherwise with what is wrong. */
async function survive(bench: Bench, { file, find, replace, test }: Mutant): Promise<string | undefined> {
  const path = join(bench.folder, "infra/bicep", file);
  const text = readFileSync(path, "utf8");
  const matches = text.split(find).length - 1;
  if (matches !== 1) return `its text occurs ${matches} times`;
  try {
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
    const { diagnostics } = await bench.bicep.compile(join("infra/bicep", file));
    const errors = diagnostics.filter(({ level }) => level === "Error");
    if (errors.length > 0) return `it does not compile: ${errors[0]?.message}`;
    return (await runTests(bench, test)).length === 0 ? `no test of ${test} fails` : undefined;
  } finally {
    writeFileSync(path, text);
  }
}

/** Runs `use` for each item, on as many copies as there are processors. */
async function each<T>(benches: readonly Bench[], items: readonly T[], use: (bench: Bench, item: T) => Promise<void>) {
  const queue = [...items];
  await Promise.all(
    benches.map(async (bench) => {
      for (let item = queue.shift(); item !== undefined; item = queue.shift()) await use(bench, item);
    }),
  );
}

const lanes = Math.min(availableParallelism(), chosen.length);
const benches = await Promise.all(Array.from({ length: lanes }, copy));
const problems: string[] = [];
await each(benches, [...new Set(chosen.map(({ test }) => test))], async (bench, test) => {
  const failures = await runTests(bench, test);
  if (failures.length > 0) problems.push(`${test} fails without a mutant:\n${failures.join("\n")}`);
});
console.log(`${seconds()}: the tests of ${chosen.length} mutants ran without a mutant`);
if (problems.length === 0) {
  await each(benches, chosen, async (bench, mutant) => {
    const problem = await survive(bench, mutant);
    if (!problem) return;
    problems.push(`${mutant.file}: ${mutant.find} -> ${mutant.replace}\n  ${problem}`);
  });
}
for (const { bicep, vitest } of benches) {
  bicep.close();
  await vitest.close();
}
for (const problem of problems) console.error(problem);
console.log(`${seconds()}: ${chosen.length - problems.length} of ${chosen.length} mutants are dead`);
process.exit(problems.length === 0 && chosen.length > 0 ? 0 : 1);
