// Random numbers that a seed determines.

export interface Random {
  /** From 0 to below 1. */
  next(): number;
  /** How many of `total` have a property that each has with this probability. */
  binomial(total: number, probability: number): number;
  /** How many events happen when this many are expected. */
  poisson(mean: number): number;
}

/** Mulberry32. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    next,
    binomial(total, probability) {
      if (probability <= 0 || total <= 0) return 0;
      if (probability >= 1) return total;
      // Counts the gaps between successes, whose lengths have a geometric distribution.
      const log = Math.log1p(-probability);
      let successes = -1;
      for (let at = 0; at <= total; at += Math.floor(Math.log1p(-next()) / log) + 1) successes++;
      return successes;
    },
    poisson(mean) {
      let events = -1;
      for (let at = 0; at <= mean; at += Math.abs(Math.log1p(-next()))) events++;
      return events;
    },
  };
}

/** A number that a text determines. */
export function seedOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
