/** @returns a function that returns the same numbers from 0 to 1 for the same seed (mulberry32) */
export function createRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Successes in a number of trials. A larger `luck`, from 0 to 1, gives more of them. The mean must be below 700: the
 * probability of no success at all must be a number that a double can hold.
 */
export function binomial(trials: number, share: number, luck: number): number {
  if (share <= 0) return 0;
  if (share >= 1) return trials;
  let probability = (1 - share) ** trials;
  let sum = probability;
  let successes = 0;
  while (luck > sum && successes < trials) {
    probability *= ((trials - successes) / (successes + 1)) * (share / (1 - share));
    sum += probability;
    successes += 1;
  }
  return successes;
}
