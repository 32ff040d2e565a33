import { connect } from "node:net";

export interface Load {
  readonly perSecond: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

export interface Target {
  readonly port: number;
  readonly headers?: Readonly<Record<string, string>>;
  request(index: number): { method: "GET" | "POST"; path: string; body?: string };
}

/**
 * Sends requests for `milliseconds` over `connections`, each of which waits for its response before the next request.
 * Counts the responses that arrive in that time. Uses bare sockets, because it shares two cores with the servers that
 * it measures, and common load generators count in whole milliseconds.
 *
 * @throws Error at the first response whose status is not 20x
 */
export async function load(
  { port, headers = {}, request }: Target,
  connections: number,
  milliseconds: number,
): Promise<Load> {
  const latencies: number[] = [];
  const end = performance.now() + milliseconds;
  const head = Object.entries({ Host: "127.0.0.1", "Content-Type": "application/json", ...headers })
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("");
  let next = 0;

  function sendOneByOne(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, send);
      let sentAt = 0;
      let response = "";
      function send() {
        sentAt = performance.now();
        if (sentAt >= end) {
          socket.end();
          return resolve();
        }
        const { method, path, body = "" } = request(next++);
        socket.write(`${method} ${path} HTTP/1.1\r\n${head}Content-Length: ${body.length}\r\n\r\n${body}`, "latin1");
      }
      socket.setEncoding("latin1");
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        response += chunk;
        const head = response.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = /content-length: (\d+)/i.exec(response)?.[1] ?? "0"; // a 204 has none
        if (response.length < head + 4 + Number(length)) return;
        if (!response.startsWith("HTTP/1.1 20")) return reject(new Error(`port ${port} returned ${response}`));
        const receivedAt = performance.now();
        if (receivedAt <= end) latencies.push((receivedAt - sentAt) * 1000);
        response = "";
        send();
      });
    });
  }

  await Promise.all(Array.from({ length: connections }, sendOneByOne));
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { perSecond: (latencies.length * 1000) / milliseconds, p50: at(0.5), p99: at(0.99) };
}
