// Compares the share of bad requests of a new revision with that of the live one: Newcombe's interval of the difference
// of two proportions, from Wilson's intervals of each (Newcombe 1998, method 10).
// https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I

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
 * outage: both revisions have more bad requests than `max`.
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
