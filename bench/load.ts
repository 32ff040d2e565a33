import { connect } from "node:net";

export interface Load {
  readonly perSecond: number;
  /** Microseconds. */
  readonly p50: number;
  readonly p99: number;
}

export interface Target {
  readonly port: number;
  request(index: number): { method: "GET" | "POST"; path: string; body?: string };
}

/**
 * Asks as fast as `connections` allow, each waiting for its answer, and checks that every answer is a success.
 * On bare sockets, because it shares two cores with what it measures, and the usual tool counts in whole milliseconds.
 */
export async function load({ port, request }: Target, connections: number, milliseconds: number): Promise<Load> {
  const latencies: number[] = [];
  const end = performance.now() + milliseconds;
  let next = 0;

  function ask(): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", noDelay: true }, send);
      let started = 0;
      let answer = "";
      function send() {
        if (performance.now() >= end) {
          socket.end();
          return resolve();
        }
        const { method, path, body = "" } = request(next++);
        started = performance.now();
        socket.write(
          `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
          "latin1",
        );
      }
      socket.setEncoding("latin1");
      socket.on("error", reject);
      socket.on("data", (chunk) => {
        answer += chunk;
        const head = answer.indexOf("\r\n\r\n");
        if (head < 0) return;
        const length = /content-length: (\d+)/i.exec(answer)?.[1] ?? "0"; // a 204 has none
        if (answer.length < head + 4 + Number(length)) return;
        if (!answer.startsWith("HTTP/1.1 20")) return reject(new Error(`port ${port} answered ${answer}`));
        latencies.push((performance.now() - started) * 1000);
        answer = "";
        send();
      });
    });
  }

  await Promise.all(Array.from({ length: connections }, ask));
  latencies.sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return { perSecond: (latencies.length * 1000) / milliseconds, p50: at(0.5), p99: at(0.99) };
}
