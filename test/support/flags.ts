/**
 * Command-line flags of an object: `{ port: "80", verbose: true, name: ["a", "b"] }` becomes `--port=80`, `--verbose`,
 * `--name=a`, `--name=b`.
 */
export function flags(values: Readonly<Record<string, string | true | readonly string[]>>): string[] {
  return Object.entries(values).flatMap(([name, value]) => {
    if (value === true) return [`--${name}`];
    return (typeof value === "string" ? [value] : value).map((item) => `--${name}=${item}`);
  });
}
