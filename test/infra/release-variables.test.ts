// After a release, a deployment of infra/bicep must deploy what is live.
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import type { Revision } from "../../tools/release/azure/azure.ts";
import { agreeWith } from "../../tools/release/bicep-variables.ts";
import { readDefinition } from "../../tools/release/definition/read-definition.ts";
import { findBicepOrSkip } from "../support/bicep.ts";
import { buildParameters } from "../support/simulated-azure.ts";

const path = await findBicepOrSkip();
const greeting = `It's "live" $HOME`;

describe.skipIf(!path)("the commands that npm run release prints for infra/bicep", { timeout: 120_000 }, () => {
  test.each(["welcome", "state-api", "group-lister"])(
    "deploy the image and the greeting of %s that are live",
    async (app) => {
      const image = `r.azurecr.io/${app}:1.2.3`;
      const env = [
        { name: "WELCOME", value: greeting },
        { name: "PORT", value: "8080" },
        { name: "demosecret", secretRef: "demosecret" },
      ];
      const live: Revision = {
        name: `${app}--r01234567`,
        isActive: true,
        health: "healthy",
        state: "Running",
        createdAt: 0,
        template: { containers: [{ name: app, image, env }] },
      };
      const file = `infra/bicep/parameters/${app}.bicepparam`;
      const definition = await readDefinition(`services/${app}/release.yaml`);
      const commands = agreeWith(definition, live, { parameters: readFileSync(file, "utf8"), templates: "" });
      // As the shell of a user sets them.
      const { stdout } = await promisify(execFile)("sh", ["-c", `${commands.join("\n")}\nenv -0`], { env: {} });
      const variables = Object.fromEntries(
        stdout
          .split("\0")
          .filter(Boolean)
          .map((line) => line.split(/=(.*)/s, 2)),
      );
      expect(variables).not.toHaveProperty("PORT");
      const built = await buildParameters(path ?? "", file, { ...variables, AZURE_KEY_VAULT_NAME: "kv" });
      const { parameters } = JSON.parse(JSON.parse(built).parametersJson);
      expect(parameters.image.value).toBe(image);
      if (app !== "group-lister") expect(parameters.welcome.value).toBe(greeting);
    },
  );
});
