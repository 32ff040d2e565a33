/** One property of a value whose type is unknown, such as a caught error; undefined when it has no such property. */
export function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
