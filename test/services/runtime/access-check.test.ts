// The checks of callers, without a server: access.test.ts meets them over sockets.
import type { IncomingHttpHeaders } from "node:http";
import type { Request } from "express";
import { describe, expect, test } from "vitest";
import { type Access, accessCheck, refuseOpenAddress } from "../../../services/runtime/access.ts";
import { isLoopback, isSafe } from "../../../services/runtime/loopback.ts";
import type { Problem } from "../../../services/runtime/problem.ts";

/** The problem of a request, if it is refused. */
function ask(access: Access, headers: IncomingHttpHeaders, url = "/"): Problem | undefined {
  try {
    accessCheck(access)({ url, headers } as Request);
    return undefined;
  } catch (error) {
    return error as Problem;
  }
}
const names = { HOST: "127.0.0.1", ALLOWED_HOSTS: "" };

describe("the host of a request", () => {
  test.each(["127.0.0.1", "localhost:8080", "LOCALHOST", "[::1]:1", "localhost:"])("%s may be served", (host) => {
    const problem = ask(names, { host });
    expect(problem?.code).toBe(host.endsWith(":") ? "wrong-host" : undefined);
  });

  test.each(["evil.example", "xlocalhost", "localhostx", "localhost:x", "127a0b0c1", "", undefined])(
    "%s is refused, with the names",
    (host) => {
      expect(ask(names, host === undefined ? {} : { host })).toMatchObject({
        status: 421,
        code: "wrong-host",
        message: "The Host header does not name this service",
        detail: "Call the service as 127.0.0.1, localhost, [::1], or add the name to ALLOWED_HOSTS.",
      });
    },
  );

  test("is that of the target when the target is a URL", () => {
    expect(ask(names, { host: "localhost" }, "http://evil.example/")?.code).toBe("wrong-host");
    expect(ask(names, { host: "evil.example" }, "http://localhost/")).toBeUndefined();
    expect(ask(names, { host: "localhost" }, "*")).toBeUndefined();
    expect(ask(names, { host: "evil.example" }, "*")?.code).toBe("wrong-host");
    expect(ask(names, { host: "evil.example" }, "/http://localhost/")?.code).toBe("wrong-host");
  });

  test("is any on another address, unless ALLOWED_HOSTS lists the names", () => {
    expect(ask({ HOST: "0.0.0.0", ALLOWED_HOSTS: "" }, { host: "any.example" })).toBeUndefined();
    const listed = { HOST: "0.0.0.0", ALLOWED_HOSTS: "a.example,b.example" };
    expect(ask(listed, { host: "b.example:1" })).toBeUndefined();
    expect(ask(listed, { host: "a.example,b.example" })?.detail).toBe(
      "Call the service as a.example, b.example, or add the name to ALLOWED_HOSTS.",
    );
    expect(ask({ HOST: "127.0.0.1", ALLOWED_HOSTS: "a.example" }, { host: "localhost" })?.code).toBe("wrong-host");
    expect(ask({ HOST: "0.0.0.0", ALLOWED_HOSTS: "undefined" }, {})?.code).toBe("wrong-host");
  });
});

describe("the caller of a request", () => {
  const token = "the-token";
  const access = {
    HOST: "0.0.0.0",
    ALLOWED_HOSTS: "",
    APP_API_TOKEN: token,
    ALLOWED_CALLERS: "welcome,other",
    DIRECT_CALLS: "loopback",
  } as const;
  const sidecar = { "dapr-api-token": token, "dapr-caller-app-id": "welcome" };
  const unauthorized = {
    status: 401,
    detail: "Call through a Dapr sidecar. Give the service and its sidecar the same APP_API_TOKEN.",
    headers: { "WWW-Authenticate": "dapr-api-token" },
  };

  test("may be each app of ALLOWED_CALLERS through the sidecar, and no other", () => {
    for (const app of ["welcome", "other"]) {
      expect(ask(access, { ...sidecar, "dapr-caller-app-id": app })).toBeUndefined();
    }
    expect(ask(access, { ...sidecar, "dapr-caller-app-id": "third" })).toMatchObject({
      status: 403,
      code: "caller-not-allowed",
      message: "The app third may not call this service",
      detail: "Add its Dapr app id to ALLOWED_CALLERS of the service.",
    });
    expect(ask(access, { "dapr-api-token": token })).toMatchObject({
      status: 403,
      message: "The app without an id may not call this service",
    });
  });

  test("needs the token, except where direct calls are served", () => {
    expect(ask(access, {})).toMatchObject({ ...unauthorized, code: "no-token", message: "The request has no token" });
    expect(ask({ ...access, DIRECT_CALLS: "anywhere" }, {})).toBeUndefined();
    expect(ask({ ...access, HOST: "127.0.0.1" }, { host: "localhost" })).toBeUndefined();
    expect(ask({ ...access, APP_API_TOKEN: "" }, {})).toBeUndefined();
    expect(ask({ HOST: "0.0.0.0", ALLOWED_HOSTS: "" }, {})).toBeUndefined();
  });

  test.each(["", "x", "the-tokenx", "xthe-token", "THE-TOKEN", "the-tokeN"])("with the token %j is refused", (sent) => {
    const wrong = { ...sidecar, "dapr-api-token": sent };
    const refusal = {
      ...unauthorized,
      code: "wrong-token",
      message: "The token is not that of the service's sidecar",
    };
    expect(ask(access, wrong)).toMatchObject(refusal);
    expect(ask({ ...access, DIRECT_CALLS: "anywhere" }, wrong)).toMatchObject(refusal);
  });

  test("with letters beyond ASCII is refused after one with the token", () => {
    const check = accessCheck(access);
    const call = (sent: string) => check({ url: "/", headers: { ...sidecar, "dapr-api-token": sent } } as never);
    call(token);
    expect(() => call("the-toke\u00fc")).toThrow("The token is not that of the service's sidecar");
    call(token);
  });

  test("is not checked for the probes, and is for other paths", () => {
    for (const path of ["/healthz", "/readyz"]) expect(ask(access, {}, path)).toBeUndefined();
    for (const path of ["/metrics", "/healthz/", "/healthz?"]) expect(ask(access, {}, path)?.code).toBe("no-token");
  });
});

describe("refuseOpenAddress", () => {
  const open = { HOST: "0.0.0.0", DIRECT_CALLS: "loopback" } as const;

  test("throws for an open address without a check of the callers, and says what to set", () => {
    expect(() => refuseOpenAddress(open, "", "X to Y")).toThrow(
      'HOST="0.0.0.0" is not a loopback address, and nothing checks who calls the service.\n' +
        "  Set X to Y; or set HOST=127.0.0.1;\n" +
        "  or set DIRECT_CALLS=anywhere if the network around the service decides who may call it.",
    );
  });

  test("accepts a check, a loopback address, and DIRECT_CALLS=anywhere", () => {
    refuseOpenAddress(open, "set", "");
    refuseOpenAddress({ ...open, HOST: "127.0.0.1" }, "", "");
    refuseOpenAddress({ ...open, DIRECT_CALLS: "anywhere" }, "", "");
  });
});

test.each([
  ["localhost", true],
  ["::1", true],
  ["[::1]", true],
  ["127.0.0.1", true],
  ["127.9.9.9", true],
  ["127.example", false],
  ["128.0.0.1", false],
  ["0.0.0.0", false],
  ["", false],
])("isLoopback of %j is %s", (host, expected) => {
  expect(isLoopback(host)).toBe(expected);
});

test.each([
  ["https://example.com", true],
  ["http://localhost:1", true],
  ["http://[::1]", true],
  ["http://example.com", false],
  ["ftp://localhost", false],
  ["no url", false],
])("isSafe of %s is %s", (endpoint, expected) => {
  expect(isSafe(endpoint)).toBe(expected);
});
