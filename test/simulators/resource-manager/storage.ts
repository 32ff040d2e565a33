// The storage of ACR Tasks: takes the sources of a build, and serves its log.
// https://learn.microsoft.com/rest/api/storageservices/blob-service-rest-api
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { close, listen } from "../../../stand-ins/azure/http.ts";

export interface Storage {
  /** With the account, as the path of a loopback address contains it. */
  readonly url: string;
  /** Names of the uploaded blobs. */
  readonly uploads: readonly string[];
  close(): Promise<void>;
}

/** The id of the run whose log says that the registry refused the build agent. */
export const deniedRun = "denied";
const successful = "Run ID: cf1 was successful\r\n";
const denied = "denied: client with IP '203.0.113.30' is not allowed access.\r\nRun ID: denied failed\r\n";

export async function startStorage(): Promise<Storage> {
  const uploads: string[] = [];
  const server = createServer((request, response) => respond(request, response, uploads));
  const port = await listen(server, "127.0.0.1", 0);
  return { url: `http://127.0.0.1:${port}/account`, uploads, close: () => close(server) };
}

function respond(request: IncomingMessage, response: ServerResponse, uploads: string[]): void {
  const common = { ETag: '"1"', "Last-Modified": new Date(0).toUTCString(), "x-ms-version": "2025-01-05" };
  if (request.method === "PUT") {
    request.resume();
    request.once("end", () => {
      uploads.push(request.url ?? "");
      response.writeHead(201, { ...common, "x-ms-request-server-encrypted": "true" }).end();
    });
    return;
  }
  const isDenied = request.url?.endsWith(`/${deniedRun}.log`) ?? false;
  const log = isDenied ? denied : successful;
  const isRange = request.headers["x-ms-range"] !== undefined;
  response.writeHead(isRange ? 206 : 200, {
    ...common,
    "Content-Length": log.length,
    "Content-Type": "text/plain",
    ...(isRange ? { "Content-Range": `bytes 0-${log.length - 1}/${log.length}` } : {}),
    "x-ms-blob-type": "BlockBlob",
    "x-ms-meta-Complete": isDenied ? "failed" : "successful", // tells az that the build has ended
  });
  response.end(request.method === "HEAD" ? undefined : log);
}
