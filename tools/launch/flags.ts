type FlagValue = string | number | true | undefined;

/**
 * Command-line arguments: `{ "app-id": "a", port: 1, json: true, path: ["x", "y"] }` becomes
 * `--app-id a --port 1 --json --path x --path y`; undefined values are left out.
 */
export function flags(values: Readonly<Record<string, FlagValue | readonly string[]>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (value === true) return [`--${name}`];
    const list = typeof value === "object" ? value : [value];
    return list.flatMap((item) => [`--${name}`, `${item}`]);
  });
}
