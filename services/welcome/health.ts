import { Problem } from "../runtime/problem.ts";
import type { Health } from "./api.ts";
import type { Sidecar } from "./sidecar.ts";

/**
 * How the services and their sidecars are, as far as this one can know. An answer of another service came through its
 * sidecar, so it proves both; without one, whatever was not reached is `unknown`.
 */
export function checkHealth(sidecar: Sidecar, traceparent: string): Promise<Health[]> {
  return Promise.all([
    checkOwn(sidecar),
    ...["state-api", "group-lister"].map((appId) => checkOther(sidecar, appId, traceparent)),
  ]);
}

async function checkOwn(sidecar: Sidecar): Promise<Health> {
  const own = { appId: "welcome", service: "up" } as const;
  try {
    await sidecar.healthy();
    return { ...own, sidecar: "up" };
  } catch (error) {
    const { code, message } = problemOf(error);
    return { ...own, sidecar: code === "sidecar-not-ready" ? "not ready" : "no answer", reason: message };
  }
}

async function checkOther(sidecar: Sidecar, appId: string, traceparent: string): Promise<Health> {
  try {
    const { statusCode, text } = await sidecar.invoke(appId, "/readyz", { traceparent });
    if (statusCode < 400) return { appId, service: "up", sidecar: "up" };
    return { appId, service: "not ready", sidecar: "up", reason: JSON.parse(text).title };
  } catch (error) {
    const { code, message: reason } = problemOf(error);
    if (code === "service-down") return { appId, service: "no answer", sidecar: "up", reason };
    if (code === "sidecar-unreachable") return { appId, service: "unknown", sidecar: "no answer", reason };
    return { appId, service: "unknown", sidecar: "unknown", reason };
  }
}

function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}
