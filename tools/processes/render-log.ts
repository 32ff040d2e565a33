import { prettyFactory } from "pino-pretty";

/** Scopes of daprd's warnings about features that the suite does not use; no setting silences them. */
const unusedFeatures = new Set([
  "dapr.runtime.security", // mTLS is disabled
  "dapr.runtime.actor", // no placement service
  "dapr.runtime.scheduler.watchhosts", // no scheduler
]);

const prettify = prettyFactory({
  colorize: process.stdout.hasColors?.() ?? false,
  translateTime: "SYS:HH:MM:ss",
  singleLine: true,
  ignore: "pid,hostname,service,app_id,instance,scope,type,ver", // constant, or part of the prefix
});

/** Renders one log line of pino or daprd, or plain text, as lines to read. */
export function renderLog(line: string): string[] {
  let entry: unknown;
  try {
    entry = JSON.parse(line);
  } catch {
    return line === "" ? [] : [line];
  }
  if (typeof entry !== "object" || entry === null || !("level" in entry)) return [line];
  if (entry.level === "warning") {
    if ("scope" in entry && typeof entry.scope === "string" && unusedFeatures.has(entry.scope)) return [];
    entry.level = "warn"; // pino's name for it
  }
  return prettify(entry)
    .split("\n")
    .filter((part) => part !== "");
}
