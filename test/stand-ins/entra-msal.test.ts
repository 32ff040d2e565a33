// The Entra ID stand-in with Microsoft's own library for pages, in a real browser.
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sampleApplication, sampleUsers } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { decode } from "../../stand-ins/azure/tokens.ts";
import { findChromium } from "../support/chromium.ts";

const [ada] = sampleUsers;
const scopes = [`api://${sampleApplication.clientId}/user_impersonation`];
const main = createRequire(import.meta.url).resolve("@azure/msal-browser");
const msal = readFileSync(join(dirname(main), "msal-browser.min.js"));

const folder = mkdtempSync(join(tmpdir(), "entra-msal-test-"));
let azure: Azure;
let browser: Browser;
let page: Page;
const server = createServer((request, response) => {
  const isScript = request.url === "/msal.js";
  response.setHeader("Content-Type", isScript ? "text/javascript" : "text/html");
  response.end(isScript ? msal : "<!doctype html><title>app</title><script src=/msal.js></script>");
});

beforeAll(async () => {
  azure = await startAzure({ folder });
  server.listen(0, "127.0.0.1");
  const executablePath = await findChromium();
  browser = await chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });
  page = await browser.newPage({ ignoreHTTPSErrors: true });
  page.setDefaultTimeout(20_000);
  if (!server.listening) await once(server, "listening");
}, 300_000); // installs Chromium on the first run
afterAll(async () => {
  await browser?.close();
  server.close();
  server.closeAllConnections();
  await azure?.close();
  rmSync(folder, { recursive: true });
});

interface Msal {
  initialize(): Promise<void>;
  handleRedirectPromise(): Promise<{ accessToken: string } | null>;
  loginRedirect(request: object): Promise<void>;
  logoutRedirect(request: object): Promise<void>;
  acquireTokenSilent(request: object): Promise<{ accessToken: string; fromCache: boolean }>;
  getAllAccounts(): { username: string; homeAccountId: string }[];
}

/** Calls `method` of a new client on the page, after the client has read the response in the page's address. */
const call = (
  method: "handleRedirectPromise" | "loginRedirect" | "logoutRedirect" | "acquireTokenSilent",
  request = {},
) =>
  page.evaluate(
    async ([name, argument, clientId, authority, redirectUri]) => {
      const { PublicClientApplication } = (
        globalThis as unknown as { msal: { PublicClientApplication: new (options: object) => Msal } }
      ).msal;
      const client = new PublicClientApplication({
        auth: { clientId, authority, knownAuthorities: [new URL(authority).host], redirectUri },
      });
      await client.initialize();
      const response = await client.handleRedirectPromise();
      const [account] = client.getAllAccounts();
      if (name === "handleRedirectPromise") return { accessToken: response?.accessToken, account };
      const result = await client[name]({ ...argument, account });
      return { accessToken: result?.accessToken, fromCache: result?.fromCache, account };
    },
    [
      method,
      request,
      sampleApplication.clientId,
      `${azure.httpsUrl}/${azure.tenantId}`,
      new URL("/", page.url()).href,
    ] as const,
  );

describe("@azure/msal-browser", () => {
  test("signs a user in by redirect, renews the access token and signs out", async () => {
    const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    await page.goto(origin);
    await Promise.all([page.waitForURL(/authorize/), call("loginRedirect", { scopes }).catch(() => {})]);
    expect(await page.locator("body").textContent()).toContain("stand-in for Microsoft Entra ID");
    await page.getByRole("button", { name: ada.name }).click();
    await page.waitForURL(`${origin}/**`);

    const signedIn = await call("handleRedirectPromise");
    expect(signedIn.account).toMatchObject({
      username: ada.username,
      homeAccountId: `${ada.objectId}.${azure.tenantId}`,
    });
    const claims = decode(signedIn.accessToken ?? "")?.claims;
    expect(claims).toMatchObject({ oid: ada.objectId, scp: "user_impersonation" });

    const cached = await call("acquireTokenSilent", { scopes });
    expect(cached).toMatchObject({ fromCache: true, accessToken: signedIn.accessToken });
    const renewed = await call("acquireTokenSilent", { scopes, forceRefresh: true });
    expect(decode(renewed.accessToken ?? "")?.claims).toMatchObject({ oid: ada.objectId });
    expect(renewed).toMatchObject({ fromCache: false });
    expect(renewed.accessToken).not.toBe(signedIn.accessToken);

    await Promise.all([page.waitForRequest(/\/logout\?/), call("logoutRedirect").catch(() => {})]);
    await page.waitForURL(`${origin}/**`);
    await page.waitForFunction(() => "msal" in globalThis);
    expect((await call("handleRedirectPromise")).account).toBeUndefined();
  });
});
