import { type Logger, pino, stdTimeFunctions } from "pino";

export type { Logger };

/**
 * Logs JSON lines to stdout, or readable lines when stdout is a terminal. Callers never log bodies, values or tokens.
 */
export async function createLogger(service: string, level: string): Promise<Logger> {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!process.stdout.isTTY) {
    // Pino's own destination would block process.exit forever once the reader of stdout has exited.
    process.stdout.on("error", () => {});
    return pino(options, process.stdout);
  }
  // Loaded on demand, because it is slow to load.
  const { default: pretty } = await import("pino-pretty");
  return pino(options, pretty({ ignore: "service", sync: true }));
}
