// `npm run mutate` changes the services in small ways, one at a time (mutants), and expects a test to fail for each. It
// writes ledger.yaml, which lists the survivors of each file. Replace the reason TODO of a survivor by the reason why
// it may live, or add a test that fails for it. `npm run mutate -- FILE …` does so for these files.
//
// `npm run test:mutation`, for CI, writes nothing. It tries the mutants of the files that changed, or whose tests did,
// since they were written to the ledger, and a sample of the others. It fails for a survivor of a changed file that the
// ledger does not list, and for more than two of the sample.
import { createHash } from "node:crypto";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { parse, stringify } from "yaml";
import { type Mutant, type Tried, tryMutants } from "./try-mutants.ts";

interface Survivor {
  readonly line: string;
  readonly change: string;
  readonly reason: string;
}
interface Entry {
  /** Of the source, and of the test file of the same name if there is one. */
  readonly hash: string;
  readonly mutants: number;
  readonly killed: number;
  readonly survivors?: readonly Survivor[];
}
type Ledger = Record<string, Entry>;

/** Not hello-wasm, server.ts, welcome's page, and its sign-in.ts: the tests of its refusals run the suite. */
const all = globSync("services/{dapr,group-lister,runtime,state-api,welcome}/**/*.ts", {
  exclude: ["**/server.ts", "services/welcome/page/**", "services/welcome/sign-in.ts"],
}).sort();
/** Milliseconds of tests for a mutant that survives; those that the ledger does not list get the second number, too. */
const MOST_MS = [3_000, 30_000] as const;
const LEDGER = "test/mutation/ledger.yaml";
const LEAST_KILLED = 0.9;
const SAMPLE = 150;
/** Bound the time of a run in CI to ten minutes: mutants that are tried, and that get the second number of MOST_MS. */
const MOST_MUTANTS = 1_500;
const MOST_DOUBTFUL = 30;
/** Of the sample, so many may survive that the ledger does not list: a test that draws its cases can miss a mutant. */
const MOST_UNLISTED = 2;
const ledger: Ledger = parse(readFileSync(LEDGER, "utf8"));
const ci = process.argv.includes("--ci");
const hashes = new Map(all.map((file) => [file, hashOf(file)]));
const changed = all.filter((file) => ledger[file]?.hash !== hashes.get(file));
const faults: string[] = [];

if (ci) {
  const seed = process.env.MUTATION_SEED ?? `${Math.floor(Date.now() / 86_400_000)}`;
  console.log(`${changed.length} changed files; a sample of the others with MUTATION_SEED=${seed}`);
  const rank = (mutant: Mutant) =>
    createHash("sha256")
      .update(`${seed}\n${keyOf(mutant)}`)
      .digest("hex");
  const isChanged = ({ file }: Mutant) => changed.includes(file);
  const tried = await tryPicked((mutants) => {
    const ranked = mutants.map((mutant) => ({ mutant, rank: rank(mutant) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
    const drawn = ranked.map(({ mutant }) => mutant);
    const others = drawn.filter((mutant) => !isChanged(mutant)).slice(0, SAMPLE);
    const ofChanged = drawn.filter(isChanged);
    const left = ofChanged.length - MOST_MUTANTS;
    if (left > 0) faults.push(`${left} mutants of changed files were not tried; run: npm run mutate`);
    return [...ofChanged.slice(0, MOST_MUTANTS), ...others];
  });
  const unlisted = tried.survived.filter((mutant) => !listed(mutant));
  for (const { file, line, change } of unlisted) console.log(`${file}: a mutant survives:\n${line}\n${change}\n`);
  const ofSample = unlisted.filter((mutant) => !isChanged(mutant)).length;
  if (ofSample > MOST_UNLISTED) faults.push(`${ofSample} of the sample survive that ${LEDGER} does not list`);
  const entries = Object.entries({
    ...ledger,
    ...Object.fromEntries(changed.map((file) => [file, entryOf(file, tried)])),
  });
  judge(entries);
} else {
  const named = process.argv.slice(2);
  const unknown = named.filter((file) => !all.includes(file));
  if (unknown.length > 0) {
    console.error(`${unknown.join(", ")}: not among the files that get mutants:\n${all.join("\n")}`);
    process.exit(2);
  }
  const files = named.length > 0 ? named : all;
  const tried = await tryPicked((mutants) => mutants.filter(({ file }) => files.includes(file)));
  const written = { ...ledger, ...Object.fromEntries(files.map((file) => [file, entryOf(file, tried)])) };
  const entries = Object.entries(written)
    .filter(([file]) => all.includes(file))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const head = readFileSync(LEDGER, "utf8").match(/^(#.*\n)*/)?.[0] ?? "";
  writeFileSync(LEDGER, head + stringify(Object.fromEntries(entries), { lineWidth: 0 }));
  judge(entries);
}
if (faults.length > 0) {
  console.error(`\n${faults.join("\n")}\n\nAdd a test that fails for the mutant. If none can, run: npm run mutate`);
}
process.exitCode = faults.length > 0 ? 1 : 0; // Vitest has set it to 1, because tests failed

async function tryPicked(pick: (mutants: readonly Mutant[]) => readonly Mutant[]): Promise<Tried> {
  const tried = await tryMutants(all, pick, MOST_MS[0]);
  const unlisted = tried.survived.filter((mutant) => !listed(mutant) && !tried.uncovered.has(mutant)).map(keyOf);
  const doubtful = ci ? unlisted.slice(0, MOST_DOUBTFUL) : unlisted;
  if (doubtful.length === 0) return tried;
  const pickAgain = (mutants: readonly Mutant[]) => mutants.filter((mutant) => doubtful.includes(keyOf(mutant)));
  const again = await tryMutants(all, pickAgain, MOST_MS[1]);
  const killed = new Set(again.killed.map(keyOf)).difference(new Set(again.survived.map(keyOf)));
  const isKilled = (mutant: Mutant) => killed.has(keyOf(mutant));
  return {
    killed: [...tried.killed, ...tried.survived.filter(isKilled)],
    survived: tried.survived.filter((mutant) => !isKilled(mutant)),
    uncovered: tried.uncovered,
  };
}

function hashOf(file: string): string {
  const tests = globSync(`test/${file.split("/", 2).join("/")}/**/${basename(file, ".ts")}.test.ts`).sort();
  const hash = createHash("sha256");
  for (const path of [file, ...tests]) hash.update(readFileSync(path));
  return hash.digest("hex").slice(0, 12);
}

function keyOf({ file, line, change }: Mutant): string {
  return [file, line, change].join("\n");
}

function entryOf(file: string, { killed, survived, uncovered }: Tried): Entry {
  const ofFile = (mutants: readonly Mutant[]) => mutants.filter((mutant) => mutant.file === file);
  const survivors = ofFile(survived).map((mutant) => {
    const { line, change } = mutant;
    const reason = listed(mutant)?.reason ?? (uncovered.has(mutant) ? "TODO: no test executes it" : "TODO");
    return { line, change, reason };
  });
  const mutants = ofFile(killed).length + survivors.length;
  const entry = { hash: hashes.get(file) ?? "", mutants, killed: ofFile(killed).length };
  return survivors.length > 0 ? { ...entry, survivors } : entry;
}

/** The survivor in the ledger that is this mutant. */
function listed({ file, line, change }: Mutant): Survivor | undefined {
  return ledger[file]?.survivors?.find((survivor) => survivor.line === line && survivor.change === change);
}

function judge(entries: readonly (readonly [string, Entry])[]): void {
  for (const [file, { mutants, killed, survivors = [] }] of entries) {
    const open = survivors.filter(({ reason }) => reason.startsWith("TODO")).length;
    const shown = `${file}: tests kill ${killed} of ${mutants} mutants`;
    console.log(open > 0 ? `${shown}; ${open} survivors without a reason` : shown);
    if (ci && open > 0) faults.push(`${file}: survivors without a reason`);
    // Among few mutants, two that change nothing are more than a tenth.
    if (survivors.length > Math.max(2, (1 - LEAST_KILLED) * mutants)) faults.push(shown);
  }
  const of = entries.reduce((sum, [, { mutants }]) => sum + mutants, 0);
  const killed = entries.reduce((sum, [, entry]) => sum + entry.killed, 0);
  console.log(`${killed} of ${of} mutants killed`);
}
