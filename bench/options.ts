import { parseArgs } from "node:util";

const full = { rounds: 5, warmUpMs: 300, measureMs: 1_000, starts: 11, parseRounds: 21, releases: 2_000 };
/** Runs everything once: for tests, not for figures. */
const quick = { rounds: 1, warmUpMs: 50, measureMs: 150, starts: 1, parseRounds: 1, releases: 10 };

/** `--quick` for a run of seconds, `--seed NUMBER` to repeat the order of an earlier run. */
export function readOptions(args?: string[]) {
  const options = { quick: { type: "boolean", default: false }, seed: { type: "string" } } as const;
  const { values } = parseArgs({ options, ...(args && { args }) });
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed);
  if (!Number.isInteger(seed)) throw new Error(`--seed ${values.seed} is not an integer`);
  return { ...(values.quick ? quick : full), seed };
}
