// Reading a JSON body and sending a response, for the routes under load. Express's body parser and res.send take a
// quarter of a save's CPU time (measured with `npm run bench`), for charsets, compression and types that a JSON API
// does not use.
import { isUtf8 } from "node:buffer";
import type { Request, Response } from "express";
import { parseJson } from "./json.ts";
import { Problem } from "./problem.ts";

export const JSON_TYPE = "application/json; charset=utf-8";
export const TEXT_TYPE = "text/plain; charset=utf-8";
export const RETRY_SOON = { "Retry-After": "1" };

const PLAIN_JSON = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

/**
 * Reads and parses the request's body.
 * @param limit maximum size in bytes
 * @throws {Problem} as `readJsonText`, and 400 when the body is not JSON or has a value that cannot be stored exactly
 */
export async function readJson(req: Request, limit: number): Promise<unknown> {
  return parseJson(await readJsonText(req, limit));
}

/**
 * Reads the request's body as text that is declared as JSON, without parsing it.
 * @param limit maximum size in bytes
 * @throws {Problem} 400 when it is empty or not UTF-8; 413 when it is too large; 415 when it is not declared as plain
 * JSON in UTF-8
 */
export async function readJsonText(req: Request, limit: number): Promise<string> {
  if (!PLAIN_JSON.test(req.headers["content-type"] ?? "")) {
    throw new Problem(415, "not-json", "The body must be declared as JSON", {
      detail: "Send the header Content-Type: application/json. The only charset is utf-8.",
    });
  }
  if ((req.headers["content-encoding"] ?? "identity") !== "identity") {
    throw new Problem(415, "encoded", "The body must not be compressed", { detail: "Omit Content-Encoding." });
  }
  const body = await readBody(req, limit);
  if (body.length === 0) throw new Problem(400, "bad-request", "The body is empty", { detail: "Send JSON." });
  if (!isUtf8(body)) throw new Problem(400, "bad-request", "The body is not valid UTF-8", { detail: "Send UTF-8." });
  return body.toString();
}

function readBody(req: Request, limit: number): Promise<Buffer> {
  const tooLarge = () =>
    new Problem(413, "too-large", "The body is too large", { detail: `The maximum is ${limit} bytes.` });
  return new Promise((resolve, reject) => {
    if (Number(req.headers["content-length"]) > limit) return reject(tooLarge());
    const chunks: Buffer[] = [];
    let length = 0;
    req.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > limit) reject(tooLarge());
      else chunks.push(chunk);
    });
    req.on("end", () => resolve(Buffer.concat(chunks)));
    req.on("error", () => reject(new Problem(400, "bad-request", "The body is incomplete")));
  });
}

/** Sends a complete 200 response. */
export function send(res: Response, type: string, text: string): void {
  res.writeHead(200, { "Content-Type": type, "Content-Length": Buffer.byteLength(text) }).end(text);
}
