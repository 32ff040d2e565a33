// Makes mutants of the services and tries which of them the tests notice. Stryker's instrumenter makes the mutants, all
// of them at once, each behind a switch. Stryker's own runner loads every test file again for every mutant, which takes
// hours; runner.ts loads a file once and turns the switches.
import { readFileSync } from "node:fs";
import { basename, relative, resolve } from "node:path";
import { Instrumenter } from "@stryker-mutator/instrumenter";
import { createVitest, type TestModule, type Vitest } from "vitest/node";
import type { Job } from "./runner.ts";

export interface Mutant {
  readonly file: string;
  /** The line that it changes, without indentation. */
  readonly line: string;
  /** The kind of change, the code before and the code after it. */
  readonly change: string;
}

export interface Tried {
  readonly killed: readonly Mutant[];
  readonly survived: readonly Mutant[];
  /** Those that no test executes; they are among `survived`. */
  readonly uncovered: ReadonlySet<Mutant>;
}

/** As many Vitests run, each one file at a time. Mutants often keep a test waiting, so four of them use two CPUs. */
const LANES = 4;
/**
 * A mutant meets those of its first eight tests that take less than 300 ms, and others only if it survives. The tests
 * of the file that is named after its source come before the others, and fast tests before slow ones.
 */
const FIRST_TESTS = 8;
const FAST_MS = 300;

/**
 * Tries the mutants of `files` that `pick` returns. Prints its progress.
 * @param mostMs bounds the time of a mutant that survives: the sum of its tests, without their hooks, in milliseconds
 */
export async function tryMutants(
  files: readonly string[],
  pick: (mutants: readonly Mutant[]) => readonly Mutant[],
  mostMs: number,
): Promise<Tried> {
  const { mutants: made, code } = await instrument(files);
  const ids = new Map([...made].map(([id, mutant]) => [mutant, id]));
  const picked = pick([...made.values()]).map((mutant) => ids.get(mutant) ?? "");
  const started = performance.now();
  const seconds = () => Math.round((performance.now() - started) / 1_000);
  console.log(`${picked.length} of ${made.size} mutants`);
  if (picked.length === 0) return { killed: [], survived: [], uncovered: new Set() };

  const lanes = await Promise.all(Array.from({ length: LANES }, () => openVitest(code)));
  const paths = (await lanes[0]?.globTestSpecifications())?.map(({ moduleId }) => moduleId) ?? [];
  /** Runs `use` for all items, as many at a time as there are lanes. */
  const each = async <T>(items: readonly T[], use: (lane: Vitest, item: T) => Promise<void>) => {
    const queue = items.values();
    await Promise.all(
      lanes.map(async (lane) => {
        for (const item of queue) await use(lane, item);
      }),
    );
  };

  try {
    /** By mutant: the tests that execute it, and the files that execute it outside of their tests. */
    const coverage = new Map(picked.map((id) => [id, { tests: new Set<string>(), loadedBy: new Set<string>() }]));
    const tests = new Map<string, { file: string; milliseconds: number }>();
    /** By source file: the tests that execute a mutant of it. */
    const testsOf = new Map<string, Set<string>>();
    await each(paths, async (lane, file) => {
      let module = await run(lane, file, { kind: "cover" });
      if (!module.ok()) module = await run(lane, file, { kind: "cover" }); // a busy machine may have been too slow
      if (!module.ok()) throw new Error(`${file} fails without a mutant:\n${failuresOf(module)}`);
      for (const id of module.meta().covered ?? []) coverage.get(id)?.loadedBy.add(file);
      for (const test of module.children.allTests()) {
        const { covered = [] } = test.meta();
        if (covered.length > 0) tests.set(test.id, { file, milliseconds: test.diagnostic()?.duration ?? 0 });
        for (const id of covered) {
          coverage.get(id)?.tests.add(test.id);
          const source = made.get(id)?.file ?? "";
          testsOf.set(source, (testsOf.get(source) ?? new Set()).add(test.id));
        }
      }
    });
    console.log(`${seconds()} s: ran all tests without a mutant`);
    const milliseconds = (test: string) => tests.get(test)?.milliseconds ?? 0;
    const limits = Object.fromEntries([...tests.keys()].map((test) => [test, 1_000 + 4 * milliseconds(test)]));
    const killed = new Set<string>();
    const alive = () => picked.filter((id) => !killed.has(id));

    const testsFor = (id: string) => {
      const own = `/${basename(made.get(id)?.file ?? "", ".ts")}.test.ts`;
      const isOwn = (test: string) => Number(tests.get(test)?.file.endsWith(own));
      return [...(coverage.get(id)?.tests ?? [])].sort(
        (a, b) => isOwn(b) - isOwn(a) || milliseconds(a) - milliseconds(b),
      );
    };
    const first = (tests: readonly string[]) =>
      tests.slice(0, FIRST_TESTS).filter((test) => milliseconds(test) < FAST_MS);
    /** Those that together take at most `mostMs`. */
    const affordable = (tests: readonly string[]) => {
      let sum = 0;
      return tests.filter((test) => {
        if (sum + milliseconds(test) > mostMs) return false;
        sum += milliseconds(test);
        return true;
      });
    };
    const others = (tests: readonly string[]) => {
      const met = new Set(first(tests));
      return affordable(tests.filter((test) => !met.has(test)));
    };
    /** Lets mutants meet the tests that `choose` returns. Returns those that a new process has to try again. */
    const turn = async (mutants: readonly string[], choose: (tests: readonly string[]) => readonly string[]) => {
      /** By file and test: the mutants to try. */
      const work = new Map<string, Record<string, string[]>>();
      for (const id of mutants) {
        for (const test of choose(testsFor(id))) {
          const file = tests.get(test)?.file ?? "";
          const ofFile = work.get(file) ?? {};
          work.set(file, ofFile);
          ofFile[test] = [...(ofFile[test] ?? []), id];
        }
      }
      /** Those that may have broken the state of their process come first, where it is intact. */
      const unsure = { first: new Set<string>(), others: new Set<string>() };
      await each([...work], async (lane, [file, ofFile]) => {
        const left = Object.entries(ofFile).map(([test, mutants]) => [test, mutants.filter((id) => !killed.has(id))]);
        const module = await run(lane, file, { kind: "switch", mutants: Object.fromEntries(left), limits });
        for (const id of module.meta().killed ?? []) killed.add(id);
        const [suspect, ...others] = module.meta().unsure ?? [];
        if (suspect !== undefined) unsure.first.add(suspect);
        for (const id of others) unsure.others.add(id);
        console.log(`${seconds()} s: ${killed.size} killed, after ${relative("", file)}`);
      });
      return [...unsure.first.union(unsure.others)].filter((id) => !killed.has(id));
    };
    const leftOver = new Set<string>();
    for (const choose of [first, others]) {
      let left = await turn(alive(), choose);
      // Later rounds kill fewer and fewer. Loading the rest one by one costs less then.
      for (let gain = left.length; gain > left.length / 10; ) {
        const before = killed.size;
        left = await turn(left, choose);
        gain = killed.size - before;
      }
      for (const id of left) leftOver.add(id);
    }

    const toLoad = alive().filter((id) => leftOver.has(id) || coverage.get(id)?.loadedBy.size);
    console.log(`${toLoad.length} to load`);
    await each(toLoad, async (lane, mutant) => {
      const { tests: own = new Set(), loadedBy = new Set() } = coverage.get(mutant) ?? {};
      // Code that runs when a module is loaded is noticed by the tests that execute the rest of the module.
      const ofSource = testsOf.get(made.get(mutant)?.file ?? "");
      const useful = [...tests].flatMap(([test, { file }]) =>
        own.has(test) || (loadedBy.has(file) && ofSource?.has(test)) ? [test] : [],
      );
      const fastFirst = affordable(useful.sort((a, b) => milliseconds(a) - milliseconds(b)));
      for (const [file, names] of Map.groupBy(fastFirst, (test) => tests.get(test)?.file ?? "")) {
        const job = { kind: "load", tests: names, limits } as const;
        if ((await run(lane, file, { ...job, mutant })).ok()) continue;
        const sound = await run(lane, file, job); // a busy machine may have been too slow
        if (sound.ok()) {
          killed.add(mutant);
          break;
        }
        console.log(`${relative("", file)} fails without a mutant:\n${failuresOf(sound)}`);
      }
    });

    console.log(`${seconds()} s: ${killed.size} killed`);
    const at = (id: string) => made.get(id) as Mutant; // every picked id is one of them
    const executed = (id: string) => coverage.get(id)?.tests.size || coverage.get(id)?.loadedBy.size;
    return {
      killed: [...killed].map(at),
      survived: alive().map(at),
      uncovered: new Set(
        alive()
          .filter((id) => !executed(id))
          .map(at),
      ),
    };
  } finally {
    await Promise.all(lanes.map((lane) => lane.close()));
  }
}

/** Returns the mutants by their ids in the switches, and the code with the switches by path. */
async function instrument(files: readonly string[]) {
  const off = () => false;
  const silent = () => {};
  const instrumenter = new Instrumenter({
    ...{ isTraceEnabled: off, isDebugEnabled: off, isInfoEnabled: off },
    ...{ isWarnEnabled: off, isErrorEnabled: off, isFatalEnabled: off },
    ...{ trace: silent, debug: silent, info: silent, warn: silent, error: silent, fatal: silent },
  });
  const sources = new Map(files.map((file) => [file, readFileSync(file, "utf8")]));
  const result = await instrumenter.instrument(
    [...sources].map(([name, content]) => ({ name, content, mutate: true })),
    { plugins: null, ignorers: [], excludedMutations: [] },
  );
  const mutants = new Map<string, Mutant>();
  for (const { id, fileName: file, location, mutatorName, replacement } of result.mutants) {
    const lines = sources.get(file)?.split("\n") ?? [];
    const { start, end } = location;
    const changed = lines.slice(start.line, end.line + 1);
    changed[changed.length - 1] = changed.at(-1)?.slice(0, end.column) ?? "";
    changed[0] = changed[0]?.slice(start.column) ?? "";
    const change = `${mutatorName}: ${shorten(changed.join("\n"))} → ${shorten(replacement)}`;
    mutants.set(id, { file, line: lines[start.line]?.trim() ?? "", change });
  }
  return { mutants, code: new Map(result.files.map(({ name, content }) => [resolve(name), content])) };
}

/** The code on one line; of more than 100 characters, the beginning and the end. */
function shorten(code: string): string {
  const line = code.replaceAll(/\s+/g, " ");
  return line.length > 100 ? `${line.slice(0, 60)} … ${line.slice(-37)}` : line;
}

function openVitest(code: ReadonlyMap<string, string>): Promise<Vitest> {
  const load = (id: string) => code.get(id.split("?")[0] ?? "");
  const plugins = [{ name: "mutants", enforce: "pre" as const, load }];
  return createVitest("test", { config: "test/mutation/vitest.config.ts", watch: false }, { plugins });
}

async function run(lane: Vitest, file: string, job: Job): Promise<TestModule> {
  lane.provide("job", job);
  const { testModules } = await lane.runTestSpecifications([lane.getRootProject().createSpecification(file)]);
  const module = testModules.find(({ moduleId }) => moduleId === file);
  if (!module) throw new Error(`Vitest did not run ${file}`);
  return module;
}

function failuresOf(module: TestModule): string {
  const failed = [...module.children.allTests("failed")];
  return [
    ...module.errors().map(({ message }) => message),
    ...failed.map((test) => `${test.fullName}: ${test.result().errors?.[0]?.message}`),
  ].join("\n");
}
