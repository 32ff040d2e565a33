// Reads JSON that has no declared type. The tests assert its shape.
import { field } from "../../services/runtime/field.ts";

/** The value at a path such as `template.containers.0.env`; undefined when there is none. */
export function at(value: unknown, path: string): unknown {
  return path.split(".").reduce(field, value);
}

/** @throws when there is no array at the path */
export function listAt(value: unknown, path: string): unknown[] {
  const found = at(value, path);
  if (!Array.isArray(found)) throw new Error(`no array at ${path} of ${JSON.stringify(value)}`);
  return found;
}

/** @throws when there is no object at the path */
export function objectAt(value: unknown, path: string): object {
  const found = at(value, path);
  if (typeof found !== "object" || found === null) throw new Error(`no object at ${path} of ${JSON.stringify(value)}`);
  return found;
}

/** @throws when there is no string at the path */
export function textAt(value: unknown, path: string): string {
  const found = at(value, path);
  if (typeof found !== "string") throw new Error(`no string at ${path} of ${JSON.stringify(value)}`);
  return found;
}

/** @throws when there is no number at the path */
export function numberAt(value: unknown, path: string): number {
  const found = at(value, path);
  if (typeof found !== "number") throw new Error(`no number at ${path} of ${JSON.stringify(value)}`);
  return found;
}
