// Signs users in on the page, in a real browser, with the Entra ID stand-in, three services and their sidecars.
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { sampleUsers } from "../../../stand-ins/azure/sample.ts";
import { findViolations } from "../../support/accessibility.ts";
import { findChromium } from "../../support/chromium.ts";
import { root } from "../../support/processes.ts";
import { type Suite, startSuite } from "../../support/suite.ts";

const [ada, ben] = sampleUsers;

let suite: Suite;
let browser: Browser;
let context: BrowserContext;
let page: Page;
/** Errors and warnings of the browser, including failed requests and violations of the content security policy. */
let complaints: string[];

beforeAll(async () => {
  const executablePath = await findChromium();
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  [suite, browser] = await Promise.all([startSuite({ signIn: true }), chromium.launch({ executablePath, args })]);
}, 300_000); // installs Chromium on the first run
afterAll(async () => {
  await browser?.close();
  await suite?.end();
});

async function open(options: Parameters<Browser["newContext"]>[0] = {}) {
  // The browser does not know the CA of the stand-in.
  context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ignoreHTTPSErrors: true, ...options });
  page = await context.newPage();
  page.setDefaultTimeout(20_000);
  complaints = [];
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  await page.goto(suite.services.welcome.origin);
}
beforeEach(() => open());
afterEach(async () => {
  suite.azure.tokenLifetime = 3_600;
  await context.close();
});

const button = (name: string) => page.getByRole("button", { name, exact: true });
const press = (name: string) => button(name).click();
const status = (text: string | RegExp) => page.getByRole("status").filter({ hasText: text }).waitFor();
async function signIn({ name } = ada): Promise<void> {
  await press("Sign in");
  await page.getByRole("button", { name }).click(); // on the page of the stand-in
  await status(name);
}
async function read(key: string): Promise<void> {
  await page.getByLabel("Key").fill(key);
  await press("Read");
}
async function write(key: string, value: string): Promise<void> {
  await page.getByLabel("Key").fill(key);
  await page.getByLabel("Value (JSON)").fill(value);
  await press("Write");
}
const tokenEndpoint = /\/oauth2\/v2\.0\/token/;

test("asks a user who is signed out to sign in, and calls nothing that needs a token", async () => {
  const called: string[] = [];
  page.on("request", (request) => called.push(new URL(request.url()).pathname));
  await page.reload();
  for (const note of [
    "Sign in to read and write your values.",
    "Sign in to list the resource groups.",
    "Sign in to see the health of the services.",
  ]) {
    await page.getByText(note).waitFor();
  }
  expect(await page.getByLabel("Key").count()).toBe(1);
  expect(await page.getByLabel("Key").isVisible()).toBe(false);
  await status(/^Version local$/);
  expect(await button("Sign out").isVisible()).toBe(false);
  expect(called.filter((path) => path.startsWith("/api/")).every((path) => /version|sign-in/.test(path))).toBe(true);
  expect(complaints).toEqual([]);
});

test("signs a user in, and shows the next user of the same browser nothing of the first one's values", async () => {
  await signIn(ada);
  await page.getByText("No other user can read what you store.").waitFor();
  await page.getByRole("listitem").filter({ hasText: "rg-sample-policy" }).waitFor();
  await write("cart", '"a secret of Ada"');
  await status(/^Value written\.$/);

  await page.reload(); // keeps the session of the tab
  await status(ada.name);
  await read("cart");
  await status(/^Value read\.$/);
  expect(await page.locator("#stored").textContent()).toBe('"a secret of Ada"');

  await press("Sign out");
  await page.getByText("Sign in to read and write your values.").waitFor();
  expect(new URL(page.url()).origin).toBe(suite.services.welcome.origin);
  expect(await page.evaluate("Object.values(sessionStorage).concat(Object.values(localStorage)).join()")).not.toMatch(
    /eyJ|Ada/,
  );
  expect(await page.content()).not.toContain("secret of Ada");

  await signIn(ben);
  await read("cart");
  await status("No value is stored under “cart”.");
  await write("cart", '"a secret of Ben"');
  await status(/^Value written\.$/);
  expect(await page.content()).not.toContain("secret of Ada");
  expect(complaints.filter((line) => !line.includes("404"))).toEqual([]); // the missing value
});

test("shows nothing of the user when the browser goes back after the sign-out", async () => {
  await signIn(ada);
  await write("back", '"a secret of Ada"');
  await status(/^Value written\.$/);
  await press("Sign out");
  await page.getByText("Sign in to read and write your values.").waitFor();
  await page.goBack();
  await page.getByText("Sign in to read and write your values.").waitFor();
  expect(await page.content()).not.toContain("secret of Ada");
  expect(await page.getByLabel("Value (JSON)").inputValue()).not.toContain("secret of Ada");
});

test("sends the token in the header of its own requests only, and no cookie", async () => {
  await signIn(ada);
  const [request] = await Promise.all([page.waitForRequest(/\/api\/state\//), read("cart")]);
  expect(await request.headerValue("authorization")).toMatch(/^Bearer eyJ/);
  expect(await context.cookies(suite.services.welcome.origin)).toEqual([]);
  const version = await page.waitForRequest(/\/api\/version$/);
  expect(await version.headerValue("authorization")).toBeNull();
});

test("renews an expired token with the refresh token, without the user", async () => {
  suite.azure.tokenLifetime = 1;
  await signIn(ada);
  suite.azure.tokenLifetime = 3_600;
  const [renewal] = await Promise.all([page.waitForRequest(tokenEndpoint), read("missing")]);
  expect(renewal.postData()).toContain("grant_type=refresh_token");
  await status("No value is stored under “missing”.");
  await button("Sign out").waitFor();
});

test("gets a new token when welcome rejects one that the browser takes for valid", async () => {
  await signIn(ada);
  let rejected = 0;
  await page.route("**/api/state/*", async (route) => {
    if (rejected++ > 0) return route.continue();
    const type = "urn:problem:bad-token";
    const body = JSON.stringify({ type, title: "The token has expired", status: 401 });
    return route.fulfill({ status: 401, contentType: "application/problem+json", body });
  });
  const [renewal] = await Promise.all([page.waitForRequest(tokenEndpoint), read("missing")]);
  expect(renewal.postData()).toContain("grant_type=refresh_token");
  await status("No value is stored under “missing”.");
});

test("asks the user to sign in again when the refresh token is rejected, and keeps what was typed", async () => {
  suite.azure.tokenLifetime = 1;
  await signIn(ada);
  await page.route(tokenEndpoint, (route) => {
    const error_description = "AADSTS700084: The refresh token was issued to a single page app, and has expired.";
    const body = JSON.stringify({ error: "invalid_grant", error_description, error_codes: [700084] });
    const headers = { "Access-Control-Allow-Origin": "*" };
    return route.fulfill({ status: 400, contentType: "application/json", headers, body });
  });
  await write("cart", '"typed"');
  await page.locator("#state-status").getByText("Your sign-in has expired").waitFor();
  await status(`${ada.name}: your sign-in has expired`);
  expect(await page.getByLabel("Value (JSON)").inputValue()).toBe('"typed"');
  await page.unroute(tokenEndpoint);
  suite.azure.tokenLifetime = 3_600;
  await press("Sign in again");
  await page.getByRole("button", { name: ada.name }).click();
  await button("Sign out").waitFor();
  await write("cart", '"typed again"');
  await status(/^Value written\.$/);
});

test("says that Entra ID does not respond when a token cannot be renewed for now, and recovers", async () => {
  suite.azure.tokenLifetime = 1;
  await signIn(ada);
  suite.azure.tokenLifetime = 3_600;
  await page.route(tokenEndpoint, (route) => route.abort());
  await read("missing");
  await status("No response from Entra ID");
  await page.unroute(tokenEndpoint);
  await read("missing");
  await status("No value is stored under “missing”.");
});

test("shows Entra ID's reason when the user cancels the sign-in", async () => {
  await press("Sign in");
  await press("Cancel");
  await status(/Sign-in failed.*AADSTS65004/);
  await button("Sign in").waitFor();
});

test("lets the keyboard sign the user in and reach every control in the order of the page", async () => {
  const focused = () => page.evaluate<string>("document.activeElement.id");
  await button("Sign in").waitFor();
  await page.keyboard.press("Tab");
  expect(await focused()).toBe("sign-in");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: ada.name }).click();
  await page.getByRole("listitem").first().waitFor();
  const walk: string[] = [];
  for (let step = 0; step < 7; step++) {
    await page.keyboard.press("Tab");
    walk.push(await focused());
  }
  expect(walk).toEqual(["sign-out", "key", "value", "read", "write", "groups", "refresh"]);
});

describe.each(["light", "dark"] as const)("the page in the %s colour scheme", (colorScheme) => {
  test.each([1280, 320])("is accessible and fits %i px, signed out and signed in", async (width) => {
    await context.close();
    await open({ colorScheme, viewport: { width, height: 900 } });
    const check = async (name: string) => {
      expect(await findViolations(page)).toEqual([]);
      expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
      await page.screenshot({
        path: join(root, `coverage/sign-in-${name}-${colorScheme}-${width}.png`),
        fullPage: true,
      });
    };
    await page.getByText("Sign in to list the resource groups.").waitFor();
    await status(/^Version local$/);
    await check("out");
    await signIn(ada);
    await page.getByRole("listitem").first().waitFor();
    await page.getByRole("rowheader", { name: "group-lister" }).waitFor();
    await check("in");
  });
});
