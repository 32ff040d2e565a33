import { describe, expect, test } from "vitest";
import { restoreSecretRefs, secretRefs } from "../../../tools/release/azure/secret-refs.ts";

const names = { app: "welcome", secrets: ["key", "file", "queue", "welcome-key"] };
const variable = (secretRef: string) => ({ containers: [{ name: "welcome", env: [{ name: "KEY", secretRef }] }] });

describe("the names of secrets in the template of a revision", () => {
  test("become those of the app's template, in variables of all containers, volumes and scale rules", () => {
    const template = (key: string, file: string, queue: string) => ({
      containers: [
        {
          name: "welcome",
          image: "w:1",
          env: [
            { name: "A", value: "a" },
            { name: "KEY", secretRef: key },
          ],
        },
        { name: "proxy", image: "p:1", env: [{ name: "FILE", secretRef: file }] },
      ],
      initContainers: [{ name: "init", image: "i:1", env: [{ name: "KEY", secretRef: key }] }],
      volumes: [{ name: "secret", storageType: "Secret", secrets: [{ path: "file.txt", secretRef: file }] }],
      scale: {
        rules: [
          { name: "a", custom: { type: "cpu" } },
          { name: "b", custom: { type: "azure-queue", auth: [{ triggerParameter: "connection", secretRef: queue }] } },
        ],
      },
    });
    const shown = template("capp-welcome", "capp-welcome", "capp-welcome");
    const real = template("key", "file", "queue");
    expect(restoreSecretRefs(shown, real, names)).toEqual(real);
    expect(secretRefs(real)).toEqual(["key", "file", "key", "file", "queue"]);
  });

  test.each([
    ["key", "key", "key"],
    ["capp-key", undefined, "key"],
    ["welcome-key", undefined, "welcome-key"],
    ["welcome-key", "key", "key"],
    ["welcome-key", "file", "welcome-key"],
    ["welcome-file", undefined, "file"],
    ["capp-welcome-file", undefined, "file"],
    ["capp-welcome", "file", "file"],
    ["capp-welcome", undefined, "capp-welcome"],
    ["capp-welcome", "deleted", "capp-welcome"],
    ["other", undefined, "other"],
  ])("shown as %s, and in the app's template as %s, become %s", (shown, known, expected) => {
    const template = known === undefined ? { containers: [] } : variable(known);
    expect(restoreSecretRefs(variable(shown), template, names)).toEqual(variable(expected));
  });
});
