import { once } from "node:events";
import { createServer } from "node:http";
import { type AddressInfo, connect } from "node:net";

export interface Tunnels {
  /** For HTTPS_PROXY. Go's programs bypass a proxy for loopback. */
  readonly url: string;
  /** The hosts that clients asked for and `ports` has not. */
  readonly refused: readonly string[];
  close(): Promise<void>;
}

/**
 * Starts an HTTP proxy that tunnels connections for public host names to servers on loopback, so that a program can use
 * Azure's own names, and its certificates are checked for them.
 *
 * @param ports Host name and port, such as `login.microsoftonline.com:443`, to the server's port on loopback
 */
export async function startProxy(ports: Readonly<Record<string, number>>): Promise<Tunnels> {
  const refused: string[] = [];
  const server = createServer((_request, response) => response.writeHead(405).end());
  server.on("connect", ({ url = "" }, socket, head) => {
    const port = ports[url];
    if (port === undefined) {
      refused.push(url);
      socket.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const target = connect(port, "127.0.0.1", () => {
      socket.write("HTTP/1.1 200 Connection Established\r\n\r\n");
      target.write(head);
      target.pipe(socket).pipe(target);
    });
    target.on("error", () => socket.destroy());
    socket.on("error", () => target.destroy());
    socket.on("close", () => target.destroy());
    target.on("close", () => socket.destroy());
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
  });
  const sockets = new Set<{ destroy(): void }>();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refused,
    async close() {
      const closed = once(server, "close");
      server.close();
      server.closeAllConnections();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
