// The test runner of `npm run mutate`, in a worker of Vitest. Mutants are switches in the source (mutate.ts puts them
// there), so one process tries many of them: it repeats a test for each mutant that the test executes.
import {
  inject,
  type RunnerTask,
  type RunnerTestCase,
  type RunnerTestSuite,
  TestRunner,
  type TestTryOptions,
} from "vitest";

/** What a worker does with a test file. */
export type Job =
  /** Records which mutants each test executes. */
  | { readonly kind: "cover" }
  /** Runs each test once for each of its mutants, by the id of the test. */
  | {
      readonly kind: "switch";
      readonly mutants: Readonly<Record<string, readonly string[]>>;
      readonly limits: Limits;
    }
  /**
   * Loads the file, with the mutant if any, and runs these tests until one fails. For code that runs before the tests.
   */
  | { readonly kind: "load"; readonly mutant?: string; readonly tests: readonly string[]; readonly limits: Limits };

/** After this time, in milliseconds, a test fails: a mutant keeps it waiting. By the id of the test. */
type Limits = Readonly<Record<string, number>>;

declare module "vitest" {
  interface ProvidedContext {
    job: Job;
  }
  interface TaskMeta {
    /** Ids of the mutants that the test executes; of a file: those that its other code executes. */
    covered?: string[];
    killed?: string[];
    /**
     * Ids of mutants that a new process has to try, because one broke the state of this one. The first of them may be
     * the one that did.
     */
    unsure?: string[];
  }
}

/** What the switches in the source read and write. */
interface Switches {
  activeMutant?: string | undefined;
  currentTestId?: string | undefined;
  mutantCoverage?: { static: Record<string, number>; perTest: Record<string, Record<string, number>> };
  /** A mutant that is executed more often than `hitLimit` throws: it is in an endless loop. */
  hitCount?: number;
  hitLimit?: number;
}
const HIT_LIMIT = 100_000;

const switches: Switches = {};
Object.assign(globalThis, { __stryker__: switches });
const { setTimeout, clearTimeout } = globalThis; // before a test replaces them

export default class MutationRunner extends TestRunner {
  private readonly job = inject("job");
  /** Whether no try of the current test has begun. It is without a mutant, unless the state is intact. */
  private isFirst = false;
  /** Mutants that the current test still has to meet. */
  private queue: string[] = [];
  private active: string | undefined;
  /** Whether this try shows, without a mutant, if the state is intact. */
  private isCheck = false;
  /** The mutant that failed the last try. The next try is without a mutant, to see whether the state is intact. */
  private suspect: string | undefined;
  /** Whether a test has passed without a mutant since the last mutant. If so, the next failure is due to its mutant. */
  private intact = true;
  private readonly killed = new Set<string>();
  private readonly unsure = new Set<string>();
  private failed = false;

  override importFile(...args: Parameters<TestRunner["importFile"]>) {
    if (this.job.kind === "load") this.activate(this.job.mutant);
    return super.importFile(...args);
  }

  override async onBeforeRunTask(test: RunnerTask) {
    await super.onBeforeRunTask(test);
    if (test.mode === "skip" || test.mode === "todo") return;
    if (this.job.kind === "load" && (this.failed || !this.job.tests.includes(test.id))) test.mode = "skip";
    if (this.job.kind === "switch") {
      this.queue = (this.job.mutants[test.id] ?? []).filter((id) => !this.killed.has(id) && !this.unsure.has(id));
      if (this.queue.length === 0) test.mode = "skip";
      else test.repeats = 2 * this.queue.length; // a killed mutant takes another try, without it
      this.isFirst = true;
    }
  }

  override onBeforeTryTask(test: RunnerTask, options: TestTryOptions) {
    super.onBeforeTryTask(test, options);
    if (this.job.kind === "cover") switches.currentTestId = test.id;
    if (this.job.kind === "switch") {
      this.isCheck = this.suspect !== undefined || (this.isFirst && !this.intact);
      this.isFirst = false;
      this.activate(this.isCheck ? undefined : this.queue.shift());
    }
  }

  async runTask(test: RunnerTestCase) {
    if (this.job.kind === "switch" && !this.active && !this.isCheck) return; // the rest of the repetitions
    const run = TestRunner.getTestFn(test);
    let limit = "limits" in this.job ? (this.job.limits[test.id] ?? 0) : 60_000;
    if (this.job.kind === "load") limit += 5_000; // the first test of a process is slow
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`not finished after ${limit} ms`)), limit);
    });
    try {
      await Promise.race([run(), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  override async onAfterRetryTask(test: RunnerTestCase, options: TestTryOptions) {
    await super.onAfterRetryTask(test, options);
    const failed = test.result?.state === "fail";
    if (this.job.kind === "load") this.failed ||= failed;
    if (this.job.kind !== "switch") return;
    if (this.isCheck) {
      if (this.suspect && (this.intact || !failed)) this.killed.add(this.suspect);
      else if (this.suspect) this.unsure.add(this.suspect);
      if (failed) for (const id of this.queue.splice(0)) this.unsure.add(id);
      this.intact = !failed;
      this.suspect = undefined;
    } else if (failed) this.suspect = this.active;
    else if (this.active) this.intact = false;
    this.activate(undefined);
    if (test.result) delete test.result.errors;
  }

  override onAfterRunTask(test: RunnerTask) {
    if (this.job.kind === "cover") {
      test.meta.covered = Object.keys(switches.mutantCoverage?.perTest[test.id] ?? {});
      switches.currentTestId = undefined;
    }
    super.onAfterRunTask(test);
  }

  override async onAfterRunSuite(suite: RunnerTestSuite) {
    if (suite === suite.file) {
      suite.meta.covered = Object.keys(switches.mutantCoverage?.static ?? {});
      suite.meta.killed = [...this.killed];
      suite.meta.unsure = [...this.unsure];
    }
    await super.onAfterRunSuite(suite);
  }

  private activate(mutant: string | undefined) {
    this.active = mutant;
    switches.activeMutant = mutant;
    switches.hitCount = 0;
    switches.hitLimit = HIT_LIMIT;
  }
}
