import { connect } from "node:net";

export interface Load {
  /** Successes per second that ended within the time. */
  readonly perSecond: number;
  /** Microseconds; of the same successes. */
  readonly p50: number;
  readonly p99: number;
  /** Responses of any status, those after the time included. */
  readonly responses: number;
  /** Responses with another status than 20x, and connections that broke or stayed silent. */
  readonly failures: number;
  /** One of the failures: the start of the response, or what the connection did. */
  readonly failure?: string | undefined;
}

export interface Target {
  readonly port: number;
  readonly headers?: Readonly<Record<string, string>>;
  request(index: number): { method: "GET" | "POST"; path: string; body?: string };
}

const SILENCE_MS = 10_000;

/**
 * Sends requests for `milliseconds` over `connections`, each of which waits for its response before the next request.
 * Counts the successes that end in that time, which lasts at least until the first response. Uses bare sockets, because
 * it shares two cores with the servers that it measures, and common load generators count in whole milliseconds. A
 * connection that breaks sends nothing more.
 */
export async function load(
  { port, headers = {}, request }: Target,
  connections: number,
  milliseconds: number,
): Promise<Load> {
  const latencies: number[] = [];
  let responses = 0;
  let failures = 0;
  let failure: string | undefined;
  const start = performance.now();
  let end = start + milliseconds;
  const head = Object.entries({ Host: "127.0.0.1", "Content-Type": "application/json", ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  let next = 0;

  function sendOneByOne(): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, send);
      let sentAt = 0;
      let response = "";
      let done = false;
      function send() {
        sentAt = performance.now();
        if (sentAt >= end && responses > 0) {
          done = true;
          return socket.end();
        }
        const { method, path, body = "" } = request(next++);
        socket.write(`${method} ${path} HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`, "latin1");
      }
      socket.setEncoding("latin1");
      socket.setTimeout(SILENCE_MS, () => socket.destroy());
      socket.on("error", () => {}); // "close" follows
      socket.on("close", () => {
        if (!done) {
          failures++;
          failure = "a connection broke or stayed silent";
        }
        resolve();
      });
      socket.on("data", (chunk) => {
        response += chunk;
        const head = response.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = /content-length: (\d+)/i.exec(response)?.[1] ?? "0"; // a 204 has none
        if (response.length < head + 4 + Number(length)) return;
        const receivedAt = performance.now();
        if (responses++ === 0) end = Math.max(end, receivedAt);
        if (!response.startsWith("HTTP/1.1 20")) {
          failures++;
          failure = response.slice(0, 2_000);
        } else if (receivedAt <= end) latencies.push((receivedAt - sentAt) * 1000);
        response = "";
        send();
      });
    });
  }

  await Promise.all(Array.from({ length: connections }, sendOneByOne));
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return {
    perSecond: (latencies.length * 1000) / (end - start),
    p50: at(0.5),
    p99: at(0.99),
    responses,
    failures,
    failure,
  };
}
