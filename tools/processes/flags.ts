type FlagValue = string | number | boolean | undefined;

/**
 * Command-line arguments: `{ "app-id": "a", port: 1, json: true, path: ["x", "y"] }` becomes
 * `--app-id a --port 1 --json --path x --path y`. `false` becomes `--json=false`; undefined values are left out.
 */
export function flags(values: Readonly<Record<string, FlagValue | readonly string[]>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (typeof value === "boolean") return [value ? `--${name}` : `--${name}=false`];
    const list = typeof value === "object" ? value : [value];
    return list.flatMap((item) => [`--${name}`, `${item}`]);
  });
}
