// test/infra/release-variables.test.ts proves with the compiler that the commands work.
import { expect, test } from "vitest";
import type { Container, Revision } from "../../../tools/release/azure/azure.ts";
import { agreeWith } from "../../../tools/release/bicep-variables.ts";
import { parseDefinition } from "../../../tools/release/definition/read-definition.ts";

const parameters = "var a = readEnvironmentVariable('WELCOME', '')\nvar b = readEnvironmentVariable('SECRET')";
const templates = "env: [{ name: 'SIGN_IN_CLIENT_ID', value: id }]";
const azd =
  "# azd deploy builds an image of its own. For this one: azd deploy my-app --from-package r.example/my-app@sha256:0a";

function commandsFor(env: NonNullable<Container["env"]>, deployment?: Parameters<typeof agreeWith>[2]): string[] {
  const definition = parseDefinition(
    "app: my-app\nsteps: [{ weight: 5, for: 10m }]\nchecks: [{ name: 5xx, source: metrics, margin: 1% }]",
    "release.yaml",
  );
  const live: Revision = {
    name: "my-app--r01234567",
    isActive: true,
    health: "healthy",
    state: "Running",
    createdAt: 0,
    template: { containers: [{ name: "my-app", image: "r.example/my-app@sha256:0a", env }] },
  };
  return agreeWith(definition, live, deployment);
}

test("the commands for infra/bicep set the image, and variables that the parameter file reads", () => {
  const env = [
    { name: "WELCOME", value: "it's" },
    { name: "SIGN_IN_CLIENT_ID", value: "id" },
    { name: "SECRET", secretRef: "secret" },
  ];
  expect(commandsFor(env, { parameters, templates })).toEqual([
    "export SERVICE_MY_APP_IMAGE_NAME=r.example/my-app@sha256:0a",
    "export WELCOME='it'\\''s'",
    azd,
  ]);
});

test("the commands for infra/bicep contain no escape sequence of a value", () => {
  expect(commandsFor([{ name: "WELCOME", value: "\x1b[2J" }], { parameters, templates })[1]).toBe(
    "# WELCOME has control characters: set it to the value that the app has.",
  );
});

test("the commands for infra/bicep name each variable that the next deployment removes", () => {
  const env = [
    { name: "PORT", value: "8082" },
    { name: "WELCOME", value: "Hello" },
  ];
  expect(commandsFor(env, { parameters, templates })).toContain(
    "# PORT: not in infra/bicep/apps/my-app.bicep, so the next deployment removes it",
  );
});

test("for an app that is not part of the suite, the only command sets its image", () => {
  expect(commandsFor([{ name: "PORT", value: "8082" }])).toEqual([
    "export SERVICE_MY_APP_IMAGE_NAME=r.example/my-app@sha256:0a",
  ]);
});
