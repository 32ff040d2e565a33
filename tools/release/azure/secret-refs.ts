// References to secrets in templates. In a revision, Azure shows another name than the app has:
// https://github.com/microsoft/azure-container-apps/issues/1705
import { field } from "../../../services/runtime/field.ts";

/** All names of secrets that a template refers to: in variables, volumes and the sign-in of scale rules. */
export function secretRefs(template: unknown): string[] {
  if (Array.isArray(template)) return template.flatMap(secretRefs);
  if (typeof template !== "object" || template === null) return [];
  return Object.entries(template).flatMap(([key, value]) =>
    key === "secretRef" && typeof value === "string" ? [value] : secretRefs(value),
  );
}

interface Names {
  readonly app: string;
  /** Those that the app has. */
  readonly secrets: readonly string[];
}

/**
 * Gives the references of a revision the names that the app has. A name that is not found stays as it is.
 *
 * @param shown the template of a revision, or a part of it
 * @param known the same part of the app's template, where Azure shows the real names
 */
export function restoreSecretRefs(shown: unknown, known: unknown, names: Names): unknown {
  if (Array.isArray(shown)) return shown.map((item) => restoreSecretRefs(item, findSame(known, item), names));
  if (typeof shown !== "object" || shown === null) return shown;
  return Object.fromEntries(
    Object.entries(shown).map(([key, value]) => [
      key,
      key === "secretRef" && typeof value === "string"
        ? nameOf(value, field(known, key), names)
        : restoreSecretRefs(value, field(known, key), names),
    ]),
  );
}

/** The item of the other list of that name. Secrets of volumes have a path, those of scale rules a parameter. */
function findSame(list: unknown, item: unknown): unknown {
  const key = ["name", "path", "triggerParameter"].find((name) => typeof field(item, name) === "string");
  if (key === undefined || !Array.isArray(list)) return undefined;
  return list.find((other) => field(other, key) === field(item, key));
}

function nameOf(shown: string, known: unknown, { app, secrets }: Names): string {
  const prefix = [`capp-${app}-`, "capp-", `${app}-`].find((start) => shown.startsWith(start)) ?? "";
  const short = shown.slice(prefix.length);
  // The name in the app's template comes first only if both fit: that template can be of a revision with other secrets.
  return (
    [shown === known || short === known ? known : undefined, shown, short, known].find(
      (name): name is string => typeof name === "string" && secrets.includes(name),
    ) ?? shown
  );
}
