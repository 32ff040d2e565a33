// The cost of the checks that parseJson adds to JSON.parse.
import { parseJson } from "../services/runtime/json.ts";
import { median } from "./measure.ts";
import { shuffle } from "./shuffle.ts";

const ROUND_MS = 10;

const list = <T>(length: number, item: (index: number) => T) => Array.from({ length }, (_, index) => item(index));
const bodies: Record<string, unknown> = {
  "a small body": { key: "greeting", data: { hello: "world", n: 1 } },
  "1 kB of records": list(20, (index) => ({ id: index, name: `item ${index}`, price: 9.99, sold: true })),
  "100 kB of text": { text: "The quick brown fox jumps over the lazy dog. ".repeat(2_200) },
  "10,000 integers": list(10_000, (index) => index),
  "10,000 random doubles": list(10_000, Math.random),
};

const parsers = { plain: JSON.parse, checked: parseJson };

/**
 * Runs both parsers on each body, in each round in random order: the second one finds the processor's caches and the
 * garbage that the first one left. The ratio is the median of the rounds' ratios.
 */
export function measureParsing(count: number, random: () => number) {
  return Object.entries(bodies).map(([name, value]) => {
    const text = JSON.stringify(value);
    const rounds = list(count, () => {
      const times = { plain: 0, checked: 0 };
      for (const name of shuffle(["plain", "checked"] as const, random)) times[name] = time(parsers[name], text);
      return times;
    });
    return {
      body: name,
      bytes: text.length,
      "JSON.parse µs": Number(median(rounds.map(({ plain }) => plain)).toFixed(2)),
      "parseJson µs": Number(median(rounds.map(({ checked }) => checked)).toFixed(2)),
      ratio: Number(median(rounds.map(({ plain, checked }) => checked / plain)).toFixed(2)),
    };
  });
}

/** Microseconds per call, over at least ROUND_MS. */
function time(parse: (text: string) => unknown, text: string): number {
  const start = performance.now();
  let calls = 0;
  let elapsed = 0;
  while (elapsed < ROUND_MS) {
    // The clock is read once for several calls, because it takes as long as a small parse.
    for (let call = 0; call < 10; call++) parse(text);
    calls += 10;
    elapsed = performance.now() - start;
  }
  return (elapsed * 1_000) / calls;
}
