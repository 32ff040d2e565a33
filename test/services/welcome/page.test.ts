// Tests the page in a real browser, with three services, three sidecars and the Azure stand-in.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sampleSubscription } from "../../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../../stand-ins/azure/start.ts";
import { createNamesFile } from "../../../tools/daprd/names.ts";
import { findViolations } from "../../support/accessibility.ts";
import { findChromium } from "../../support/chromium.ts";
import {
  freePorts,
  type Process,
  patience,
  readLocalConfig,
  root,
  sqliteResources,
  startService,
  startSidecar,
} from "../../support/processes.ts";

const store = sqliteResources();
const folder = mkdtempSync(join(tmpdir(), "welcome-page-test-"));
const blue = { WELCOME: "Hello from blue", CONTAINER_APP_REVISION: "welcome--blue", HOSTNAME: "replica-1" };
const green = { WELCOME: "Hello from green", CONTAINER_APP_REVISION: "welcome--green", HOSTNAME: "replica-2" };

let azure: Azure;
let sidecars: Process[] = [];
let stateApi: Process;
let groupLister: Process;
let welcome: Process;
let startWelcome: (env: Record<string, string>) => Promise<Process>;
let browser: Browser;
let page: Page;
/** Errors and warnings of the browser, including failed requests and violations of the content security policy. */
let complaints: string[];

beforeAll(async () => {
  const executablePath = await findChromium();
  const [stateApiPort = 0, groupListerPort = 0, welcomePort = 0] = await freePorts(3);
  const config = join(folder, "config.yaml");
  const names = join(folder, "names.db");
  createNamesFile(names);
  writeFileSync(config, readLocalConfig(names));
  const noResources = join(folder, "none");
  mkdirSync(noResources);
  azure = await startAzure();
  sidecars = await Promise.all([
    startSidecar({ appId: "state-api", appPort: stateApiPort, resources: [store.folder], config }),
    startSidecar({ appId: "group-lister", appPort: groupListerPort, resources: [noResources], config }),
    startSidecar({ appId: "welcome", appPort: welcomePort, resources: [noResources], config }),
  ]);
  const [ofStateApi, , ofWelcome] = sidecars.map(({ origin }) => new URL(origin).port);
  startWelcome = (env) =>
    startService("welcome", { ...patience, PORT: `${welcomePort}`, DAPR_HTTP_PORT: `${ofWelcome}`, ...env });
  [stateApi, groupLister, welcome, browser] = await Promise.all([
    startService("state-api", { ...patience, PORT: `${stateApiPort}`, DAPR_HTTP_PORT: `${ofStateApi}` }),
    startService("group-lister", {
      ...patience,
      PORT: `${groupListerPort}`,
      NODE_OPTIONS: "--import ./stand-ins/azure/env.ts",
      AZURE_STAND_IN_PORT: new URL(azure.url).port,
      AZURE_STAND_IN_HTTPS_PORT: new URL(azure.httpsUrl).port,
    }),
    startWelcome(blue),
    chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] }),
  ]);
}, 300_000); // installs Chromium on the first run

afterAll(async () => {
  await browser?.close();
  for (const process of [welcome, groupLister, stateApi, ...sidecars]) await process?.end();
  await azure?.close();
  store.remove();
  rmSync(folder, { recursive: true, force: true });
});

async function open(options: Parameters<Browser["newPage"]>[0] = {}) {
  page = await browser.newPage({ viewport: { width: 1280, height: 900 }, ...options });
  page.setDefaultTimeout(20_000);
  complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(welcome.origin);
}

const health = () => page.getByRole("table").last().getByRole("row");
const healthy = async () => {
  for (const appId of ["welcome", "state-api", "group-lister"]) {
    await health()
      .filter({ has: page.getByRole("rowheader", { name: appId }) })
      .getByText("up")
      .nth(1)
      .waitFor();
  }
};
const status = (text: string | RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor();
const press = (name: string) => page.getByRole("button", { name, exact: true }).click();
/** Writes a value as another client of state-api. */
const writeElsewhere = (key: string, value: unknown) =>
  fetch(`${stateApi.origin}/state/${key}`, {
    method: "PUT",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });

beforeEach(() => open());
afterEach(async ({ task }) => {
  await page.close();
  if (task.result?.state !== "fail") return;
  for (const process of [welcome, stateApi, groupLister, ...sidecars]) console.error(process.output().slice(-4_000));
});

test("shows the message, the version, the groups as sample data, and the health of every service", async () => {
  await page.getByRole("heading", { level: 1, name: "Hello from blue" }).waitFor();
  await status("Version welcome--blue");
  for (const { name } of sampleSubscription.groups)
    await page.getByRole("listitem").filter({ hasText: name }).waitFor();
  await page.getByText("Sample data.").waitFor();
  await healthy();
  expect(await page.title()).toBe("Hello from blue");
  expect(complaints).toEqual([]);
});

test("does not ask the user to sign in, and does not load the library for it", async () => {
  await healthy();
  expect(await page.getByRole("button", { name: /Sign/ }).count()).toBe(0);
  const loaded = await page.evaluate<string[]>("performance.getEntriesByType('resource').map(({ name }) => name)");
  expect(loaded).toContain(`${welcome.origin}/sign-in.js`);
  expect(loaded).not.toContain(`${welcome.origin}/msal-browser.js`);
});

test("writes a value and reads it back through both sidecars", async () => {
  await page.getByLabel("Key").fill("page~greeting");
  await page.getByLabel("Value (JSON)").fill('{ "hello": "page", "markup": "<img src=x>" }');
  await press("Write");
  await status(/^Value written\.$/);
  expect(await (await fetch(`${stateApi.origin}/state/page~greeting`)).json()).toEqual({
    hello: "page",
    markup: "<img src=x>",
  });
  await page.reload();
  await page.getByLabel("Key").fill("page~greeting");
  await press("Read");
  await status("Value read.");
  expect(JSON.parse((await page.locator("#stored").textContent()) ?? "")).toMatchObject({ markup: "<img src=x>" });
  expect(complaints).toEqual([]);
});

test("shows a value that another client wrote after the read, instead of overwriting it", async () => {
  await writeElsewhere("page~shared", "first");
  await page.getByLabel("Key").fill("page~shared");
  await press("Read");
  await status("Value read.");
  await writeElsewhere("page~shared", "second");
  await page.getByLabel("Value (JSON)").fill('"mine"');
  await press("Write");
  await status("The value changed since you read it.");
  expect(await page.locator("#stored").textContent()).toBe('"second"');
  await press("Write");
  await status(/^Value written\.$/);
  expect(await (await fetch(`${stateApi.origin}/state/page~shared`)).json()).toBe("mine");
});

test("shows why a key or a value is rejected", async () => {
  await page.getByLabel("Key").fill("no/slash");
  await press("Read");
  await status("This key is not allowed");
  await page.getByLabel("Key").fill("page~broken");
  await page.getByLabel("Value (JSON)").fill("{ hello: world }");
  await press("Write");
  await status("The body is not valid JSON");
});

test("names a service that is down and recovers when it is back", async () => {
  await stateApi.end();
  await page.reload();
  await health()
    .filter({ has: page.getByRole("rowheader", { name: "state-api" }) })
    .getByText("no response")
    .waitFor();
  await press("Read");
  await status(/state-api/);
  stateApi = await stateApi.restart();
  await healthy();
});

test("shows a switch from blue to green while the page is open", async () => {
  const ticks = (tone: string) => page.locator(`.tick[data-tone=${tone}]`);
  await status("Version welcome--blue");
  await press("Write");
  await status(/^Value written\.$/);
  await ticks("blue").nth(3).waitFor();
  await welcome.end();
  welcome = await startWelcome(green);
  await status("Version welcome--green");
  await page.getByRole("heading", { level: 1, name: "Hello from green" }).waitFor();
  const rows = page.getByRole("table").first().getByRole("rowheader");
  expect((await rows.allInnerTexts()).join(" ").replaceAll("\n", " ")).toMatch(/welcome--green.*welcome--blue/);
  await ticks("green").nth(2).waitFor();
  await healthy();
  await page.screenshot({ path: join(root, "coverage/welcome.png"), fullPage: true });
});

test("lets the keyboard reach every control in the order of the page", async () => {
  await healthy();
  const focused = () => page.evaluate<string>("document.activeElement.id");
  const walk: string[] = [];
  for (let step = 0; step < 6; step++) {
    await page.keyboard.press("Tab");
    walk.push(await focused());
  }
  expect(walk).toEqual(["key", "value", "read", "write", "groups", "refresh"]);
  await page.keyboard.press("Enter");
  await status(/12 groups/);
  expect(await focused()).toBe("refresh");
});

test("shows a notice when JavaScript is off", async () => {
  await page.close();
  await open({ javaScriptEnabled: false });
  await page.locator("noscript p").waitFor(); // visible
});

describe.each(["light", "dark"] as const)("the page in the %s colour scheme", (colorScheme) => {
  test.each([1280, 320])("has no accessibility violation and no horizontal scrolling at %i px", async (width) => {
    await page.close();
    await open({ colorScheme, viewport: { width, height: 900 } });
    await healthy();
    await press("Write");
    await status(/^Value written|^The value changed/);
    await page.getByText("Sample data.").waitFor();
    expect(await findViolations(page)).toEqual([]);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
    await page.screenshot({ path: join(root, `coverage/welcome-${colorScheme}-${width}.png`), fullPage: true });
  });
});
