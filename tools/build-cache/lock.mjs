// Plain JavaScript for Node 20, without dependencies: tools/setup.mjs takes a lock before any package is installed.
import { createHash } from "node:crypto";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

/** No service is registered for these, and systems give higher ports to outgoing connections. */
const ports = { first: 18_500, count: 500 };

/**
 * Waits until no other process of this machine holds the lock `name`, then takes it.
 *
 * The lock is a listening TCP port on loopback, derived from the name. The system grants the port to one process and
 * frees it when that process ends, even by SIGKILL, so a lock is never stale. Names that share a port wait for each
 * other. Therefore hold one lock at a time. Another program on the port blocks the lock, so show the port to the user.
 *
 * @param {string} name e.g. the path of the file that is made under the lock
 * @param {(port: number) => void} onWait called before each wait of 300 ms
 * @param {AbortSignal} [signal] ends the wait
 * @returns {Promise<() => void>} releases the lock
 */
export async function takeLock(name, onWait, signal) {
  const port = ports.first + (createHash("sha256").update(name).digest().readUInt32BE() % ports.count);
  for (;;) {
    const server = await listen(port);
    if (server) return () => server.close();
    onWait(port);
    await sleep(300, undefined, { signal });
  }
}

/**
 * @param {number} port
 * @returns {Promise<import("node:net").Server | undefined>} undefined when the port is taken
 */
function listen(port) {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", (error) =>
      "code" in error && error.code === "EADDRINUSE" ? resolve(undefined) : reject(error),
    );
    server.listen({ port, host: "127.0.0.1", exclusive: true }, () => resolve(server));
  });
}
