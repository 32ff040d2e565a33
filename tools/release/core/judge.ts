// Compares the share of bad requests of a new revision with that of the live one: Newcombe's interval of the difference
// of two proportions, from Wilson's intervals of each (Newcombe 1998, method 10).
// https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I
import type { Definition } from "../definition/definition.ts";

export interface Counts {
  readonly bad: number;
  readonly total: number;
}

export interface Interval {
  /** Share of bad requests of the new revision minus that of the live one. */
  readonly difference: number;
  readonly low: number;
  readonly high: number;
}

/**
 * fail: the new revision is worse by more than the margin. pass: it is not. inconclusive: too few requests to say.
 * outage: the shares of both revisions are above `max`, and the new one is not proven to be worse. It is no `fail`,
 * because the live revision has the same errors; and a share of few requests is above `max` by chance.
 */
export type Verdict = "pass" | "fail" | "inconclusive" | "outage";

export interface Judgement {
  readonly verdict: Verdict;
  /** The interval for `fail`, whose z grows with the number of looks. */
  readonly strict: Interval;
  /** The interval for `pass`: z of one side, 5 %. */
  readonly usual: Interval;
}

export interface Rule {
  readonly margin: number;
  readonly max: number;
  /** How often all checks of the release together are judged: each look is another chance to be wrong. */
  readonly looks: number;
}

/** Probability of a wrong `fail` in a whole release, and of a wrong `pass` in one look. */
const risk = 0.05;

/**
 * Fewer bad requests never fail a release. Wilson's lower limit is too high for one or two of them: one bad request of
 * the first nine would fail a margin of 1 %, and bench/release/ counts more wrong verdicts than `risk`.
 */
export const fewestBad = 3;

/**
 * @param candidate the new revision
 * @param stable the live revision
 */
export function judge(candidate: Counts, stable: Counts, { margin, max, looks }: Rule): Judgement {
  const z = zOf(looks);
  const strict = compare(candidate, stable, z);
  const usual = compare(candidate, stable, oneLook);
  return { verdict: decide(), strict, usual };

  function decide(): Verdict {
    if (candidate.total === 0 || stable.total === 0) return "inconclusive";
    if (candidate.bad >= fewestBad && strict.low > margin) return "fail";
    const [c, s] = [wilson(candidate, z), wilson(stable, z)];
    if (c.low > max && s.low > max) return "outage";
    const isTooBad = c.share > max && s.share > max;
    return usual.high <= margin && !isTooBad ? "pass" : "inconclusive";
  }
}

/** @returns without requests of one revision, the interval from -1 to 1 */
export function compare(candidate: Counts, stable: Counts, z: number): Interval {
  if (candidate.total === 0 || stable.total === 0) return { difference: 0, low: -1, high: 1 };
  const c = wilson(candidate, z);
  const s = wilson(stable, z);
  const difference = c.share - s.share;
  return {
    difference,
    low: difference - Math.hypot(c.share - c.low, s.high - s.share),
    high: difference + Math.hypot(c.high - c.share, s.share - s.low),
  };
}

function wilson({ bad, total }: Counts, z: number) {
  const share = bad / total;
  const center = share + z ** 2 / (2 * total);
  const half = z * Math.sqrt((share * (1 - share)) / total + z ** 2 / (4 * total ** 2));
  const scale = 1 + z ** 2 / total;
  return { share, low: (center - half) / scale, high: (center + half) / scale };
}

/**
 * The most looks that a release can take: counts change once a minute, in each minute of all steps and of the bake,
 * each extended once, for each check that compares shares.
 */
export function looksOf({ steps, bake, checks, inconclusive }: Definition): number {
  const phases = [...steps.map((step) => step.for), bake];
  const seconds = phases.reduce((sum, phase) => sum + phase + inconclusive.extend, 0);
  const compared = checks.filter(({ source }) => source !== "probe").length;
  return Math.max(1, Math.ceil(seconds / 60) * compared);
}

/**
 * A hold goes on judging, for any time, by a window that moves. In the second turn of this window a look counts for 6,
 * in the third for 12, then for 20: the looks of all turns after the first add at most half of the risk of the first.
 *
 * @param turn of the window, from 1
 */
export const looksInTurn = (looks: number, turn: number) => (turn === 1 ? looks : looks * turn * (turn + 1));

/** z of one side for a look at which a release without a difference fails with a probability of 5 % / looks. */
export function zOf(looks: number): number {
  const wanted = Math.log(risk / looks);
  let z = Math.sqrt(-2 * wanted); // too large, and each step of Newton's method brings it closer
  for (let step = 0; step < 12; step += 1) {
    // Laplace's continued fraction: a standard normal value exceeds z with the probability density(z) / fraction, whose
    // logarithm has the derivative -fraction.
    let fraction = z;
    for (let term = 60; term > 0; term -= 1) fraction = z + term / fraction;
    z += (-(z ** 2) / 2 - Math.log(2 * Math.PI) / 2 - Math.log(fraction) - wanted) / fraction;
  }
  return z;
}

const oneLook = zOf(1);

/**
 * How many more requests of the new revision the verdict `pass` takes, if both shares stay. A revision without requests
 * is assumed to have the share of the other one.
 *
 * @param weight of the new revision in percent; with 100, the live revision gets no more requests
 * @returns undefined if no number of requests is enough
 */
export function needed(candidate: Counts, stable: Counts, { margin }: Rule, weight: number): number | undefined {
  const share = candidate.total > 0 ? shareOf(candidate) : shareOf(stable);
  const stableShare = stable.total > 0 ? shareOf(stable) : share;
  const passes = (more: number) => {
    const [c, s] = [candidate.total + more, stable.total + (more * (100 - weight)) / weight];
    return s > 0 && compare({ bad: share * c, total: c }, { bad: stableShare * s, total: s }, oneLook).high <= margin;
  };
  let enough = 1;
  while (!passes(enough)) {
    enough *= 2;
    if (enough > 1e9) return undefined;
  }
  if (candidate.total > 0 && passes(0)) return 0;
  let tooFew = Math.floor(enough / 2);
  while (enough - tooFew > 1) {
    const middle = Math.floor((tooFew + enough) / 2);
    if (passes(middle)) enough = middle;
    else tooFew = middle;
  }
  return enough;
}

const shareOf = ({ bad, total }: Counts) => (total > 0 ? bad / total : 0);

/**
 * Whether the revisions get other shares of the requests than the traffic table says: by more than 5 percentage points
 * and by more than chance explains.
 *
 * @param weight of the new revision in percent
 * @param probes The most requests of the new revision that can be probes, which do not follow the weights. Too many
 * requests must be too many without them, and too few must be too few with them.
 */
export function isOffWeight(candidate: Counts, stable: Counts, weight: number, probes = 0): boolean {
  return offsetOf(Math.max(0, candidate.total - probes)) > 0 || offsetOf(candidate.total) < 0;

  /** 0: as the weight says. Positive: too many. Negative: too few. */
  function offsetOf(requests: number): number {
    const total = requests + stable.total;
    if (total === 0) return 0;
    const wanted = weight / 100;
    const sigma = Math.sqrt((wanted * (1 - wanted)) / total);
    const difference = requests / total - wanted;
    return Math.abs(difference) > Math.max(0.05, 5 * sigma) ? difference : 0;
  }
}
