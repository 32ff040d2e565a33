// `npm run mutate` changes the services in small ways, one at a time (mutants), and expects a test to fail for each. It
// writes ledger.yaml, which lists the survivors of each file. Each survivor needs a reason why it may live.
// `npm run mutate -- FILE …` does so for these files.
// `npm run test:mutation`, for CI, writes nothing: it tries the files that changed since they were written to the
// ledger, and a sample of the mutants of the others.
import { createHash } from "node:crypto";
import { globSync, readFileSync, writeFileSync } from "node:fs";
import { parse, stringify } from "yaml";
import { type Mutant, type Tried, tryMutants } from "./try-mutants.ts";

interface Survivor {
  readonly line: string;
  readonly change: string;
  readonly reason: string;
}
interface Entry {
  /** Of the source. */
  readonly hash: string;
  readonly mutants: number;
  readonly killed: number;
  readonly survivors?: readonly Survivor[];
}
type Ledger = Record<string, Entry>;

/** Not welcome's page, which runs in a browser, its sign-in and hello-wasm, whose tests need processes. */
const all = globSync([
  "services/{dapr,group-lister,runtime,state-api}/**/*.ts",
  "services/welcome/{app,sidecar}.ts",
]).sort();
const LEDGER = "test/mutation/ledger.yaml";
const LEAST_KILLED = 0.9;
const SAMPLE = 150;
/** A survivor without a reason. */
const NO_REASON = "";

const ledger: Ledger = parse(readFileSync(LEDGER, "utf8"));
const ci = process.argv.includes("--ci");
const hashes = new Map(
  all.map((file) => [file, createHash("sha256").update(readFileSync(file)).digest("hex").slice(0, 12)]),
);
const changed = all.filter((file) => ledger[file]?.hash !== hashes.get(file));
const faults: string[] = [];

if (ci) {
  const seed = process.env.MUTATION_SEED ?? `${Math.floor(Date.now() / 86_400_000)}`;
  console.log(`${changed.length} changed files; a sample of the others with MUTATION_SEED=${seed}`);
  const rank = ({ file, line, change }: Mutant) =>
    createHash("sha256").update([seed, file, line, change].join("\n")).digest("hex");
  const tried = await tryMutants(all, (mutants) => {
    const of = Object.groupBy(mutants, ({ file }) => (changed.includes(file) ? "changed" : "same"));
    const ranked = (of.same ?? []).map((mutant) => ({ mutant, rank: rank(mutant) }));
    ranked.sort((a, b) => (a.rank < b.rank ? -1 : 1));
    return [...(of.changed ?? []), ...ranked.slice(0, SAMPLE).map(({ mutant }) => mutant)];
  });
  judge(Object.fromEntries(changed.map((file) => [file, entryOf(file, tried)])));
  for (const { file, line, change } of tried.survived) {
    if (changed.includes(file)) continue;
    if (!reasonOf(file, line, change))
      faults.push(`${file}: a mutant survives that the ledger says is killed:\n${line}\n${change}`);
  }
} else {
  const named = process.argv.slice(2);
  const files = named.length > 0 ? all.filter((file) => named.includes(file)) : all;
  const tried = await tryMutants(all, (mutants) => mutants.filter(({ file }) => files.includes(file)));
  const entries = Object.fromEntries(files.map((file) => [file, entryOf(file, tried)]));
  const written: Ledger = { ...ledger, ...entries };
  const head = readFileSync(LEDGER, "utf8").match(/^(#.*\n)*/)?.[0] ?? "";
  const kept = all.filter((file) => written[file]).map((file) => [file, written[file]]);
  writeFileSync(LEDGER, head + stringify(Object.fromEntries(kept), { lineWidth: 0 }));
  judge(entries);
}
if (faults.length > 0) {
  console.error(`\n${faults.join("\n\n")}\n\nAdd a test that fails for the mutant, or a reason to ${LEDGER}.`);
  process.exit(1);
}

function entryOf(file: string, { killed, survived, uncovered }: Tried): Entry {
  const left = survived.filter((mutant) => mutant.file === file);
  const count = killed.filter((mutant) => mutant.file === file).length;
  const survivors = left.map((mutant) => {
    const { line, change } = mutant;
    const reason = reasonOf(file, line, change) ?? NO_REASON;
    return { line, change, reason: reason || (uncovered.has(mutant) ? "TODO: no test executes it" : "TODO") };
  });
  return {
    hash: hashes.get(file) ?? "",
    mutants: count + left.length,
    killed: count,
    ...(left.length > 0 && { survivors }),
  };
}

/** The reason why the mutant may live, if it has one. */
function reasonOf(file: string, line: string, change: string): string | undefined {
  const listed = ledger[file]?.survivors?.find((survivor) => survivor.line === line && survivor.change === change);
  return listed?.reason.startsWith("TODO") ? undefined : listed?.reason;
}

function judge(entries: Readonly<Ledger>): void {
  for (const [file, { mutants, killed, survivors = [] }] of Object.entries(entries)) {
    console.log(`${file}: ${killed} of ${mutants}`);
    // Among few mutants, two that change nothing are more than a tenth.
    if (survivors.length > Math.max(2, (1 - LEAST_KILLED) * mutants))
      faults.push(`${file}: tests kill only ${killed} of ${mutants} mutants`);
    for (const { line, change, reason } of survivors) {
      if (reason.startsWith("TODO")) faults.push(`${file}: a mutant survives:\n${line}\n${change}`);
    }
  }
}
