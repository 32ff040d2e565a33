import { commonPaths, problem, problemSchema, text } from "../runtime/openapi.ts";

export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Hello from WebAssembly",
    version: "1.0.0",
    description: "Runs a WASI module once per request, as a CGI program.",
    "x-try": ["curl $URL   # the request as a WebAssembly module sees it"],
  },
  paths: {
    "/": {
      get: {
        operationId: "hello",
        summary: "Returns a greeting and the environment variables that the module received",
        responses: {
          200: text(
            "A greeting, then one line `KEY: VALUE` for each CGI variable of the request.",
            "Hello, world!\nREQUEST_METHOD: GET\n…",
          ),
          502: problem("The module failed, or its output is not a CGI response."),
          503: problem("Too many requests are waiting for the module. Retry after `Retry-After` seconds."),
          504: problem("The module exceeded WASM_TIMEOUT_MS and was stopped."),
        },
      },
    },
    ...commonPaths,
  },
  components: { schemas: { Problem: problemSchema } },
} as const;
