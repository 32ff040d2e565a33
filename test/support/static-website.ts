// A static website on https on loopback, in place of one of a storage account.
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, normalize } from "node:path";
import type { Keys } from "../../stand-ins/azure/certificate.ts";

export interface StaticWebsite {
  /** Ends with a slash, as `primaryEndpoints.web` of a storage account does. */
  readonly url: string;
  /** The container `$web`: each file is served at its path. */
  readonly folder: string;
  close(): void;
}

export async function startStaticWebsite({ key, cert }: Keys): Promise<StaticWebsite> {
  const folder = mkdtempSync(join(tmpdir(), "website-"));
  const server = createServer({ key, cert }, async ({ url = "" }, response) => {
    try {
      response.end(await readFile(join(folder, normalize(new URL(url, "https://localhost").pathname))));
    } catch {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `https://127.0.0.1:${port}/`,
    folder,
    close() {
      server.close();
      server.closeAllConnections();
      rmSync(folder, { recursive: true });
    },
  };
}
