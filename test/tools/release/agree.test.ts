// test/infra/release-variables.test.ts proves with the compiler that the commands work.
import { expect, test } from "vitest";
import { agreeWith } from "../../../tools/release/agree.ts";
import type { Container, Revision } from "../../../tools/release/azure/azure.ts";
import { parseDefinition } from "../../../tools/release/read-definition.ts";

const parameters = "var a = readEnvironmentVariable('WELCOME', '')\nvar b = readEnvironmentVariable('SECRET')";

function commandsFor(env: NonNullable<Container["env"]>): string[] {
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
  return agreeWith(definition, live, parameters);
}

test("the commands for infra/bicep set the image, and variables that the parameter file reads", () => {
  const env = [
    { name: "WELCOME", value: "it's" },
    { name: "PORT", value: "8080" },
    { name: "SECRET", secretRef: "secret" },
  ];
  expect(commandsFor(env)).toEqual([
    "export SERVICE_MY_APP_IMAGE_NAME=r.example/my-app@sha256:0a",
    "export WELCOME='it'\\''s'",
  ]);
});

test("the commands for infra/bicep contain no escape sequence of a value", () => {
  expect(commandsFor([{ name: "WELCOME", value: "\x1b[2J" }])[1]).toBe(
    "# WELCOME has control characters: set it to the value that the app has.",
  );
});
