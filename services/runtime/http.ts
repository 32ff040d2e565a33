// Reading a JSON body and sending a response, for the routes under load. Express's body parser and res.send take a
// quarter of a save's CPU time (measured with `npm run bench`), for charsets, compression and types that a JSON API
// does not use.
import { isUtf8 } from "node:buffer";
import type { Request, Response } from "express";
import { BodyBuffer, BodyMemory, fits, SMALL } from "./body-memory.ts";
import { parseMeasured } from "./json.ts";
import { Problem } from "./problem.ts";

export const JSON_TYPE = "application/json; charset=utf-8";
export const TEXT_TYPE = "text/plain; charset=utf-8";
export const RETRY_SOON = { "Retry-After": "1" };

/** How long the rest of a refused body is read and dropped: a client that still sends would miss the response. */
const DROP_MS = 500;
/** A client has this time to read a response, so the slowest one that gets a response of 1 MiB reads 35 kB/s. */
const SEND_TIMEOUT_MS = 30_000;

const PLAIN_JSON = /^application\/json\s*(;\s*charset="?utf-8"?\s*)?$/i;

/**
 * Reads and parses the request's body. Its size is in bytes.
 * @param limit maximum size in bytes
 * @throws {Problem} as `readJsonText`, and 400 when the body is not JSON or has a value that cannot be stored exactly
 */
export async function readJson(req: Request, limit: number): Promise<{ value: unknown; size: number }> {
  const memory = new BodyMemory(req.res);
  const text = await readText(req, limit, memory);
  const { value, bytes } = parseMeasured(text);
  if (!memory.resize(bytes)) throw overloaded();
  return { value, size: Buffer.byteLength(text) };
}

/**
 * Reads the request's body as text that is declared as JSON, without parsing it.
 * @param limit maximum size in bytes
 * @throws {Problem} 400 when it is empty or not UTF-8; 413 when it is too large; 415 when it is not declared as plain
 * JSON in UTF-8; 503 when the process holds too many large bodies
 */
export function readJsonText(req: Request, limit: number): Promise<string> {
  return readText(req, limit, new BodyMemory(req.res));
}

async function readText(req: Request, limit: number, memory: BodyMemory): Promise<string> {
  if (!PLAIN_JSON.test(req.headers["content-type"] ?? "")) {
    throw new Problem(415, "not-json", "The body must be declared as JSON", {
      detail: "Send the header Content-Type: application/json. The only charset is utf-8.",
    });
  }
  if ((req.headers["content-encoding"] ?? "identity") !== "identity") {
    throw new Problem(415, "encoded", "The body must not be compressed", { detail: "Omit Content-Encoding." });
  }
  const body = await readBody(req, limit, memory);
  if (body.length === 0) throw new Problem(400, "bad-request", "The body is empty", { detail: "Send JSON." });
  return body.read((bytes) => {
    if (isUtf8(bytes)) return bytes.toString();
    throw new Problem(400, "bad-request", "The body is not valid UTF-8", { detail: "Send UTF-8." });
  });
}

function readBody(req: Request, limit: number, memory: BodyMemory): Promise<BodyBuffer> {
  return new Promise((resolve, reject) => {
    const declared = Number(req.headers["content-length"] ?? 0);
    const tooLarge = () =>
      new Problem(413, "too-large", "The body is too large", { detail: `The maximum is ${limit} bytes.` });
    if (declared > limit) return reject(tooLarge());
    const body = new BodyBuffer(memory);
    let refused = false;
    const refuse = (problem: Problem, afterMs: number) => {
      refused = true;
      body.free();
      memory.release();
      setTimeout(() => reject(problem), afterMs);
      req.on("end", () => reject(problem));
    };
    if (!fits(declared)) refuse(overloaded(), DROP_MS);
    req.on("data", (chunk: Buffer) => {
      if (refused) return;
      if (body.length + chunk.length > limit) refuse(tooLarge(), 0);
      else if (!body.add(chunk)) refuse(overloaded(), DROP_MS);
    });
    req.on("end", () => {
      if (!refused) resolve(body);
    });
    req.on("error", () => {
      body.free();
      reject(new Problem(400, "bad-request", "The body is incomplete"));
    });
  });
}

function overloaded(): Problem {
  return new Problem(503, "overloaded", "The service holds too many large bodies", {
    detail: "Nothing was changed. Retry.",
    headers: { ...RETRY_SOON, Connection: "close" },
  });
}

/**
 * Sends a complete response with the status of `res`, 200 by default.
 * @throws {Problem} 503 when the process holds too many large bodies
 */
export function send(res: Response, type: string, text: string): void {
  const length = Buffer.byteLength(text);
  if (!fits(length)) throw overloaded();
  res.writeHead(res.statusCode, { "Content-Type": type, "Content-Length": length });
  // Node would keep a string until the client has read it, beside its bytes.
  res.end(length > SMALL ? Buffer.from(text) : text);
  boundSending(res);
}

/**
 * Call after the end of a response that may be large. While the client does not read it, its bytes count, and after
 * SEND_TIMEOUT_MS the connection is closed.
 */
export function boundSending(res: Response): void {
  const unsent = res.writableLength;
  if (unsent === 0) return; // the operating system has taken all bytes
  const memory = new BodyMemory();
  memory.resize(unsent);
  const timer = setTimeout(() => res.destroy(), SEND_TIMEOUT_MS);
  res.once("close", () => {
    clearTimeout(timer);
    memory.release();
  });
}
