// Rival of group-lister: a server that returns the same bytes of /groupz and does nothing else.
import { createServer } from "node:http";

const { PORT, SAME_AS = "" } = process.env;
const body = Buffer.from(await (await fetch(SAME_AS)).arrayBuffer());
const headers = { "Content-Type": "application/json; charset=utf-8", "Content-Length": body.length };
createServer((_req, res) => res.writeHead(200, headers).end(body)).listen(Number(PORT), "127.0.0.1");
