import { type Logger, pino, stdTimeFunctions } from "pino";

export type { Logger };

/** JSON lines on stdout; readable ones when stdout is a terminal. Bodies, values and tokens are never logged. */
export async function createLogger(service: string, level: string): Promise<Logger> {
  const options = {
    level,
    base: { service },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
  };
  if (!process.stdout.isTTY) {
    // Not pino's own destination: when nobody reads stdout any more, that one waits for ever in process.exit.
    process.stdout.on("error", () => {});
    return pino(options, process.stdout);
  }
  // Only for people at a terminal, and slow to load.
  const { default: pretty } = await import("pino-pretty");
  return pino(options, pretty({ ignore: "service", sync: true }));
}
