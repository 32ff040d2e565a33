// Faults of a version of welcome, as values of NODE_OPTIONS: the code runs when the service starts.

const run = (code: string) => `--import=data:text/javascript,${encodeURIComponent(code)}`;

/** A pod gives another response to requests for a path, `after` milliseconds after the first one. */
export const respond = (path: string, response: string, after = 0) =>
  run(`import { Server } from "node:http";
    const { emit } = Server.prototype;
    let first;
    Server.prototype.emit = function (event, req, res) {
      if (event !== "request" || req.url !== "${path}") return emit.apply(this, arguments);
      first ??= performance.now();
      return performance.now() - first >= ${after} ? ${response} : emit.apply(this, arguments);
    }`);

/** Every n-th response of a pod to requests for a path is a 500. */
export const failEvery = (n: number, path: string) =>
  run(`import { ServerResponse } from "node:http";
    const { setHeader } = ServerResponse.prototype;
    let responses = 0;
    ServerResponse.prototype.setHeader = function (name, value) {
      if (this.req.url === "${path}" && name === "Content-Type" && !this.failed && ++responses % ${n} === 0) {
        this.failed = true;
        throw new Error("one of ${n} responses fails");
      }
      return setHeader.call(this, name, value);
    }`);
