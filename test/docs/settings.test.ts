// The settings table and .env.example list exactly the variables that the services declare; .env.example also IMAGES,
// which only Compose reads. After a change of a config.ts:
// npx vitest run --project suite test/docs/settings.test.ts --update
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { variables as groupLister } from "../../services/group-lister/config.ts";
import { variables as helloWasm } from "../../services/hello-wasm/config.ts";
import type { Variable } from "../../services/runtime/config.ts";
import { variables as stateApi } from "../../services/state-api/config.ts";
import { variables as welcome } from "../../services/welcome/config.ts";
import { root } from "../support/processes.ts";

const services: Record<string, Record<string, Variable>> = {
  "state-api": stateApi,
  "group-lister": groupLister,
  welcome,
  "hello-wasm": helloWasm,
};
const names = [...new Set(Object.values(services).flatMap((variables) => Object.keys(variables)))];
const settings = names.flatMap((name) => {
  const readers = Object.keys(services).filter((service) => services[service]?.[name]);
  const variable = services[readers[0] ?? ""]?.[name];
  return variable ? [{ name, variable, readers }] : [];
});

test("the table of docs/reference/settings.md has one row for each variable", async () => {
  const page = join(root, "docs/reference/settings.md");
  const rows = settings.map(({ name, variable, readers }) => {
    const value = variable.default === "" ? "" : `\`${variable.default}\``;
    const by = readers.length === Object.keys(services).length ? "all" : readers.join(", ");
    return `| \`${name}\` | ${value} | ${variable.description} | ${by} |`;
  });
  const table = ["| Variable | Default | Meaning | Read by |", "|---|---|---|---|", ...rows].join("\n");
  const marked = /(?<=<!-- settings -->\n).*(?=\n<!-- \/settings -->)/s;
  const text = readFileSync(page, "utf8");
  expect(text).toMatch(marked);
  await expect(text.replace(marked, () => table)).toMatchFileSnapshot(page);
});

test(".env.example has one commented line for each variable that all apps can share, and one for IMAGES", async () => {
  // dapr.yaml and the platforms set these; a file that all apps share cannot.
  const perApp = [
    "PORT",
    "METRICS_PORT",
    "DAPR_HTTP_PORT",
    "CONTAINER_APP_REVISION",
    "CONTAINER_APP_REPLICA_NAME",
    "POD_TEMPLATE_HASH",
    "HOSTNAME",
  ];
  const introduction = "# Run `cp .env.example .env`, then uncomment the lines that you change. git ignores .env.\n";
  const lines = settings
    .filter(({ name }) => !perApp.includes(name))
    .map(({ name, variable }) => `# ${variable.description}\n#${name}=${variable.default}\n`);
  const images = "# Compose only: prefix of published images, such as ghcr.io/OWNER/dapr-on-azure-samples\n#IMAGES=\n";
  await expect([introduction, ...lines, images].join("\n")).toMatchFileSnapshot(join(root, ".env.example"));
});
