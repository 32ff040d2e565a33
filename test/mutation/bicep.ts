// `npm run mutate:bicep`: changes the templates in one place at a time (mutants), in a copy of the repository, and
// expects the test file that names the mutant to fail. A text in the environment variable ONLY selects mutants.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "../../tools/processes/spawn.ts";
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

/** A copy of the repository, with a compiler. */
interface Bench {
  readonly folder: string;
  readonly bicep: Bicep;
}

function copy(): Bench {
  const folder = mkdtempSync(join(tmpdir(), "bicep-mutants-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  for (const file of tracked) cpSync(join(root, file), join(folder, file));
  symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  return { folder, bicep: startBicep(compiler, { folder }) };
}

/** Runs test files in a copy until one test fails. Resolves with the exit code and the output. */
function runTests(folder: string, files: readonly string[]): Promise<{ code: number | null; output: string }> {
  const paths = files.map((file) => `test/infra/${file}.test.ts`);
  const args = ["node_modules/vitest/vitest.mjs", "run", "--project", "infra", "--bail", "1", ...paths];
  // With CI set, the tests fail without a compiler, which would skip them otherwise.
  const env = { ...process.env, BICEP: compiler, CI: "true", NO_COLOR: "1" };
  const child = spawn(process.execPath, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      output += chunk;
    });
  }
  return new Promise((resolve) => child.once("close", (code) => resolve({ code, output })));
}

/** Resolves with undefined when a test fails, otherwise with what is wrong. */
async function survive({ folder, bicep }: Bench, { file, find, replace, test }: Mutant): Promise<string | undefined> {
  const path = join(folder, "infra/bicep", file);
  const text = readFileSync(path, "utf8");
  const matches = text.split(find).length - 1;
  if (matches !== 1) return `its text occurs ${matches} times`;
  try {
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
    const { diagnostics } = await bicep.compile(join("infra/bicep", file));
    const errors = diagnostics.filter(({ level }) => level === "Error");
    if (errors.length > 0) return `it does not compile: ${errors[0]?.message}`;
    const { code } = await runTests(folder, [test]);
    return code === 0 ? `no test of ${test} fails` : undefined;
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

const benches = Array.from({ length: Math.min(availableParallelism(), chosen.length) }, copy);
const problems: string[] = [];
await each(benches, [...new Set(chosen.map(({ test }) => test))], async ({ folder }, test) => {
  const { code, output } = await runTests(folder, [test]);
  if (code !== 0) problems.push(`${test} fails without a mutant:\n${output}`);
});
console.log(`${seconds()}: the tests of ${chosen.length} mutants ran without a mutant`);
if (problems.length === 0) {
  await each(benches, chosen, async (bench, mutant) => {
    const problem = await survive(bench, mutant);
    if (!problem) return;
    problems.push(`${mutant.file}: ${mutant.find} -> ${mutant.replace}\n  ${problem}`);
  });
}
for (const { bicep } of benches) bicep.close();
for (const problem of problems) console.error(problem);
console.log(`${seconds()}: ${chosen.length - problems.length} of ${chosen.length} mutants are dead`);
process.exit(problems.length === 0 && chosen.length > 0 ? 0 : 1);
