// Durations as people write them: 30s, 10m, 1h.

export const DURATION = "^[1-9][0-9]{0,3}[smh]$";

const SECONDS = { s: 1, m: 60, h: 3600 } as const;

/** @returns seconds; undefined when the text is no duration */
export function parseDuration(text: string): number | undefined {
  const [, amount, unit] = /^([1-9]\d{0,3})([smh])$/.exec(text) ?? [];
  return unit === "s" || unit === "m" || unit === "h" ? Number(amount) * SECONDS[unit] : undefined;
}

/** Such as `45s`, `10m`, `1h` and `1h 30m`. From a minute on, seconds are rounded to minutes. */
export function formatDuration(seconds: number): string {
  if (seconds < 59.5) return `${Math.round(seconds)}s`;
  const minutes = Math.round(seconds / 60);
  const hours = Math.floor(minutes / 60);
  if (hours === 0) return `${minutes}m`;
  return minutes % 60 === 0 ? `${hours}h` : `${hours}h ${minutes % 60}m`;
}
