/** One property of a value whose type is unknown, such as a caught error; undefined when it has no such property. */
export function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

/** The list in a property of such a value; an empty one when it has no such property. */
export function listIn(value: unknown, name: string): readonly unknown[] {
  const content = field(value, name);
  return Array.isArray(content) ? content : [];
}
