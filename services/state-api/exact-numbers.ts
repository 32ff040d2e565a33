/**
 * Keeps numbers exact in stores that would round them.
 *
 * When Dapr's Cosmos DB component reads an item, it prints numbers of up to 83,886,079 with at most six decimals
 * (jsoniter's ConfigFastest, components-contrib 1.18.3, state/azure/cosmosdb/cosmosdb.go). So 3.14159265 comes back as
 * 3.141593, and 1e-7 as 0. A value with such a number is stored as a string instead: `json:` and its JSON. A string
 * that begins with `json:` is stored the same way, so that every stored value has one meaning. The rule is the same for
 * every store, so that stored values do not depend on the component behind the sidecar.
 */
const PREFIX = "json:";

export function toStored(value: unknown): unknown {
  return isKept(value) ? value : PREFIX + JSON.stringify(value);
}

export function fromStored(stored: unknown): unknown {
  if (typeof stored !== "string" || !stored.startsWith(PREFIX)) return stored;
  try {
    return JSON.parse(stored.slice(PREFIX.length));
  } catch {
    return stored; // another application's string
  }
}

/** Keeps its own list instead of recursing, because a deeply nested value would overflow the call stack. */
function isKept(value: unknown): boolean {
  if (typeof value === "string") return !value.startsWith(PREFIX);
  const left = [value];
  while (left.length > 0) {
    const next = left.pop();
    if (typeof next === "number" && !isPrintedWhole(next)) return false;
    if (typeof next === "object" && next !== null) for (const member of Object.values(next)) left.push(member);
  }
  return true;
}

/** The component's own arithmetic: six decimals, rounded half up. */
function isPrintedWhole(number: number): boolean {
  const size = Math.abs(number);
  return size > 0x4ffffff || Math.round(size * 1e6) / 1e6 === size;
}
