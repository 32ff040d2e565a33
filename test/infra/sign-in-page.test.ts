// Checks what the commands of docs/operate/sign-in.md would set, against what welcome and the Entra ID stand-in need.
// az-lines.test.ts parses the same commands.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parse } from "yaml";
import { field } from "../../services/runtime/field.ts";
import { readWelcomeConfig } from "../../services/welcome/config.ts";
import { createSignIn } from "../../services/welcome/sign-in.ts";
import { sampleApplication, sampleTenantId } from "../../stand-ins/azure/sample.ts";
import { listCommands } from "../support/az.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const page = "docs/operate/sign-in.md";
const blocks = readBlocks(page).map(({ command }) => command);
const suite: { common: { env: Record<string, string> }; apps: { appID: string; appPort: number }[] } = parse(
  readFileSync(join(root, "dapr.yaml"), "utf8"),
);
const welcomePort = suite.apps.find(({ appID }) => appID === "welcome")?.appPort;
const sampleIds = { SIGN_IN_CLIENT_ID: sampleApplication.clientId, SIGN_IN_TENANT_ID: sampleTenantId };
/** The value that listCommands gives to the output of every az command. */
const answer = "ANSWER";

test(`${page} starts the suite with the sample application, tenant and port of the stand-in`, () => {
  const start = blocks.find((block) => block.includes("npm start")) ?? "";
  const settings = Object.fromEntries(
    [...start.matchAll(/(SIGN_IN_\w+)=(\S+)/g)].map(([, name, value]) => [name, value]),
  );
  expect(settings).toEqual({
    ...sampleIds,
    SIGN_IN_AUTHORITY: `https://127.0.0.1:${suite.common.env.AZURE_STAND_IN_HTTPS_PORT}`,
  });
  expect(createSignIn(readWelcomeConfig(settings), console)?.settings.required).toBe(true);
  expect(blocks).toContainEqual(`curl -i http://127.0.0.1:${welcomePort}/api/state/greeting`);
});

test(`${page} registers the scope, the token version and the redirect URI that welcome uses`, () => {
  const [body] = bodiesOf("applications");
  expect(body).toMatchObject({
    identifierUris: [`api://${answer}`],
    spa: { redirectUris: [`http://localhost:${welcomePort}/`] },
    api: {
      requestedAccessTokenVersion: 2,
      oauth2PermissionScopes: [{ type: "User", isEnabled: true }],
    },
  });
  const scopeName = createSignIn(readWelcomeConfig(sampleIds), console)?.settings.scope.split("/").at(-1);
  expect(field(field(body, "api"), "oauth2PermissionScopes")).toMatchObject([{ value: scopeName }]);
});

test(`${page} adds a redirect URI to those of the application`, () => {
  const [, body] = bodiesOf("applications");
  expect(body).toEqual({ spa: { redirectUris: [answer] } });
  const [query = ""] = listCommands(blocks.join("\n"))
    .filter((command) => command[1] === "app" && command[2] === "show")
    .map((command) => command[command.indexOf("--query") + 1] ?? "");
  // Without the brackets and quotes around them, these are the elements of the JSON list.
  expect(query).toBe(`join('","', [spa.redirectUris, ['https://welcome.example.com/']][])`);
});

test(`${page} assigns a user to the service principal with the role that every application has`, () => {
  const [body] = bodiesOf("appRoleAssignedTo");
  expect(body).toEqual({
    principalId: answer,
    resourceId: answer,
    appRoleId: "00000000-0000-0000-0000-000000000000",
  });
});

/** The bodies that the page sends to Microsoft Graph at a URL with `part` in it. */
function bodiesOf(part: string): unknown[] {
  return listCommands(blocks.join("\n"))
    .filter((command) => command[0] === "rest" && command[command.indexOf("--url") + 1]?.includes(part))
    .map((command) => JSON.parse(command[command.indexOf("--body") + 1] ?? ""));
}
