import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../services/runtime/config.ts";
import { isUuid, readWelcomeConfig } from "../../../services/welcome/config.ts";

const uuid = "0b8a7e52-5a4e-4a4c-9d5c-1f0a6f7f2d31";

describe("readWelcomeConfig", () => {
  const defaults = {
    PORT: 8080,
    HOST: "127.0.0.1",
    METRICS_PORT: 0,
    ALLOWED_HOSTS: "",
    LOG_LEVEL: "info",
    SHUTDOWN_TIMEOUT_MS: 10_000,
    DIRECT_CALLS: "loopback",
    WELCOME: "Hello from Super API on Container Apps",
    MAX_BODY_BYTES: 1_048_576,
    DAPR_HTTP_PORT: 3500,
    DAPR_HTTP_ENDPOINT: "",
    DAPR_API_TOKEN: "",
    INVOKE_TIMEOUT_MS: 1_900,
    SIGN_IN_CLIENT_ID: "",
    SIGN_IN_TENANT_ID: "",
    SIGN_IN_AUTHORITY: "https://login.microsoftonline.com",
    SECRET_FILE: "/mnt/secret-store/demosecret",
    demosecret: "",
    CONTAINER_APP_REVISION: "",
    CONTAINER_APP_REPLICA_NAME: "",
    POD_TEMPLATE_HASH: "",
    HOSTNAME: "",
  };

  test("returns the defaults for an empty environment", () => {
    expect(readWelcomeConfig({})).toEqual(defaults);
  });

  test.each([
    { INVOKE_TIMEOUT_MS: 50 },
    { INVOKE_TIMEOUT_MS: 60_000 },
    { SIGN_IN_CLIENT_ID: uuid, SIGN_IN_TENANT_ID: uuid.toUpperCase() },
    { SIGN_IN_AUTHORITY: "https://login.partner-1.microsoftonline.cn:8443" },
  ])("accepts %j", (values) => {
    const env = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, `${value}`]));
    expect(readWelcomeConfig(env)).toEqual({ ...defaults, ...values });
  });

  const invoke = "Maximum time to wait for another service's response through both sidecars";
  const client = "Client id of the application in Entra ID that callers sign in to; without it, nobody has to sign in";
  const tenant = "Tenant whose users may sign in; set it together with SIGN_IN_CLIENT_ID";
  const authority = "Origin of Entra ID, for sign-in; another one in a national cloud";
  test.each([
    ["INVOKE_TIMEOUT_MS", "49", "must be >= 50", invoke],
    ["INVOKE_TIMEOUT_MS", "60001", "must be <= 60000", invoke],
    ["INVOKE_TIMEOUT_MS", "soon", "must be integer", invoke],
    ["SIGN_IN_CLIENT_ID", `x${uuid}`, "must match pattern", client],
    ["SIGN_IN_TENANT_ID", `${uuid}x`, "must match pattern", tenant],
    ["SIGN_IN_AUTHORITY", "http://login.example", "must match pattern", authority],
    ["SIGN_IN_AUTHORITY", "https://login.example/", "must match pattern", authority],
    ["SIGN_IN_AUTHORITY", "xhttps://login.example", "must match pattern", authority],
    ["SIGN_IN_AUTHORITY", "https://login.example:", "must match pattern", authority],
    ["SIGN_IN_AUTHORITY", "https://login.example:123456", "must match pattern", authority],
  ])("refuses %s=%s with the fault and the description", (variable, value, fault, description) => {
    const read = () => readWelcomeConfig({ [variable]: value });
    expect(read).toThrow(`${variable}="${value}" ${fault}`);
    expect(read).toThrow(`. ${description}.`);
  });

  test.each([
    ["SIGN_IN_CLIENT_ID", "SIGN_IN_TENANT_ID"],
    ["SIGN_IN_TENANT_ID", "SIGN_IN_CLIENT_ID"],
  ])("refuses %s without %s", (set, missing) => {
    const message =
      `The configuration is not valid:\n  ${missing} is missing. Sign-in needs SIGN_IN_CLIENT_ID and ` +
      "SIGN_IN_TENANT_ID: set both, or neither for a service without sign-in.";
    expect(() => readWelcomeConfig({ [set]: uuid })).toThrow(new ConfigError(message));
  });

  test("refuses an address that other machines reach, unless callers sign in", () => {
    const read = (env: Record<string, string>) => readWelcomeConfig({ HOST: "0.0.0.0", ...env });
    expect(() => read({})).toThrow("Set SIGN_IN_CLIENT_ID and SIGN_IN_TENANT_ID so that callers sign in;");
    expect(read({ SIGN_IN_CLIENT_ID: uuid, SIGN_IN_TENANT_ID: uuid })).toMatchObject({ HOST: "0.0.0.0" });
  });
});

test.each([
  [uuid, true],
  [`x${uuid}`, false],
  [`${uuid}x`, false],
  [[uuid], false],
])("isUuid(%j) is %j", (value, expected) => {
  expect(isUuid(value)).toBe(expected);
});
