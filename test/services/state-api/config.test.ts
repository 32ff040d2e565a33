import { describe, expect, test } from "vitest";
import { sidecarOrigin } from "../../../services/dapr/config.ts";
import { readStateApiConfig } from "../../../services/state-api/config.ts";

describe("readStateApiConfig", () => {
  test("returns frozen defaults for an empty environment", () => {
    const config = readStateApiConfig({}, []);
    expect(config).toMatchObject({ PORT: 8080, HOST: "127.0.0.1", STATESTORE_NAME: "statestore" });
    expect(sidecarOrigin(config)).toBe("http://127.0.0.1:3500");
    expect(Object.isFrozen(config)).toBe(true);
  });

  test("reads the environment, treats empty as unset, and prefers the flag", () => {
    const env = { PORT: "9000", WELCOME: "", STATESTORE_NAME: "other", DAPR_HTTP_PORT: "3600" };
    const config = readStateApiConfig(env, ["--statestore", "flagged"]);
    expect(config).toMatchObject({ PORT: 9000, STATESTORE_NAME: "flagged", WELCOME: expect.stringMatching(/^Hello/) });
    expect(sidecarOrigin(config)).toBe("http://127.0.0.1:3600");
    const endpoint = readStateApiConfig({ DAPR_HTTP_ENDPOINT: "http://state-api-dapr:3500" }, []);
    expect(sidecarOrigin(endpoint)).toBe("http://state-api-dapr:3500");
  });

  test("lists every fault in one message, with the value, the fault and an example", () => {
    const env = { PORT: "80a", LOG_LEVEL: "loud", STATESTORE_TIMEOUT_MS: "5", STATESTORE_NAME: "../x" };
    const read = () => readStateApiConfig(env, []);
    expect(read).toThrow('PORT="80a" must be integer; example: PORT=8080.');
    expect(read).toThrow('LOG_LEVEL="loud" must be one of trace, debug,');
    expect(read).toThrow('STATESTORE_TIMEOUT_MS="5" must be >= 50');
    expect(read).toThrow('STATESTORE_NAME="../x"');
  });

  test("rejects an unknown flag and names the supported one", () => {
    expect(() => readStateApiConfig({}, ["--store", "x"])).toThrow(/--store.*--statestore NAME/);
  });
});
