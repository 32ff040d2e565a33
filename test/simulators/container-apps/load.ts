// Sends requests to an address at a steady rate.
import { Agent, request } from "node:https";

interface Load {
  stop(): void;
}

/** @param perSecond of real time */
export function startLoad(url: string, ca: string, perSecond: number, userAgent = "load"): Load {
  const agent = new Agent({ keepAlive: true, maxSockets: 32, ca });
  const startedAt = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - startedAt) / 1_000) * perSecond);
    // After a pause of the process, the requests of that time are not sent.
    sent = Math.max(sent, due - perSecond);
    for (; sent < due; sent++) {
      request(url, { agent, headers: { "User-Agent": userAgent } }, (response) => response.resume())
        .on("error", () => {}) // the ingress counts it
        .end();
    }
  }, 20);
  return {
    stop() {
      clearInterval(timer);
      agent.destroy();
    },
  };
}
