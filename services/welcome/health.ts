import { field } from "../runtime/field.ts";
import { Problem } from "../runtime/problem.ts";
import type { Trace } from "../runtime/trace.ts";
import type { Health } from "./api.ts";
import type { Sidecar } from "./sidecar.ts";

/**
 * Checks the services and their sidecars. A response from another service passed through its sidecar, so it proves that
 * both are up. When the request failed earlier, their status is `unknown`.
 */
export function checkServices(sidecar: Sidecar, trace: Trace): Promise<Health[]> {
  return Promise.all([
    checkWelcome(sidecar),
    ...["state-api", "group-lister"].map((appId) => checkOther(sidecar, appId, trace)),
  ]);
}

async function checkWelcome(sidecar: Sidecar): Promise<Health> {
  const welcome = { appId: "welcome", service: "up" } as const;
  try {
    const status = await sidecar.checkHealth();
    return { ...welcome, sidecar: status, ...(status === "up" ? {} : { reason: "The Dapr sidecar is not ready yet" }) };
  } catch (error) {
    return { ...welcome, sidecar: "no response", reason: asProblem(error).message };
  }
}

async function checkOther(sidecar: Sidecar, appId: string, trace: Trace): Promise<Health> {
  try {
    const { statusCode, text } = await sidecar.invoke(appId, "/readyz", { trace });
    if (statusCode < 400) return { appId, service: "up", sidecar: "up" };
    return { appId, service: "not ready", sidecar: "up", reason: titleOf(text) };
  } catch (error) {
    const { code, message: reason } = asProblem(error);
    if (code === "service-down") return { appId, service: "no response", sidecar: "up", reason };
    if (code === "sidecar-unreachable") return { appId, service: "unknown", sidecar: "no response", reason };
    return { appId, service: "unknown", sidecar: "unknown", reason };
  }
}

/** The title of problem details, or their text if they have none. */
function titleOf(problem: string): string {
  try {
    const title = field(JSON.parse(problem), "title");
    return typeof title === "string" ? title : problem;
  } catch {
    return problem;
  }
}

function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  throw error;
}
