import { commonPaths, problem, problemSchema, text } from "../runtime/openapi.ts";

export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Hello from WebAssembly",
    version: "1.0.0",
    description: "A WASI module, run once for each request as a CGI program.",
    "x-try": ["curl $URL   # what a WebAssembly module sees of the request"],
  },
  paths: {
    "/": {
      get: {
        operationId: "hello",
        summary: "A greeting and the environment that the module saw",
        responses: {
          200: text(
            "One line `KEY: VALUE` for each CGI variable of the request.",
            "Hello, world!\nREQUEST_METHOD: GET\n…",
          ),
          502: problem("The module failed, or what it printed is no CGI answer."),
          503: problem("Too many requests wait for the module; `Retry-After` says when to try again."),
          504: problem("The module took too long and was stopped."),
        },
      },
    },
    ...commonPaths,
  },
  components: { schemas: { Problem: problemSchema } },
} as const;
