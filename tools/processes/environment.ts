// The environment variables that every process gets. A process gets no others unless it needs them, because the shell
// and `.env` may have secrets that are meant for another one.

type Environment = Readonly<Record<string, string | undefined>>;

export function pickVariables(env: Environment, isWanted: (name: string) => boolean): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) => (value !== undefined && isWanted(name) ? [[name, value]] : [])),
  );
}

/** Names in upper case; Windows needs the last three. */
const base: ReadonlySet<string> = new Set(["PATH", "HOME", "TMPDIR", "SYSTEMROOT", "TEMP", "USERPROFILE"]);

export function baseEnvironment(): Record<string, string> {
  return pickVariables(process.env, (name) => base.has(name.toUpperCase()));
}
