// The page: polls /api and shows the results. It inserts everything it receives as text, never as HTML.
import type { Group, Health, HealthStatus, ProblemDetails, SignInSettings, Version } from "../api.ts";
import { type Account, openAccount } from "./sign-in.ts";

const VERSION_INTERVAL_MS = 1_500;
const HEALTH_INTERVAL_MS = 5_000;
const RIBBON_LENGTH = 60;
/**
 * Colours of versions in the order of their first response, so a blue-green switch goes from blue to green. In the
 * original walkthrough, green is live and blue is the preview.
 */
const TONES = ["blue", "green", "violet", "amber"];

// --- requests to /api -----------------------------------------------------------------------------------------------

type ApiResponse =
  | { readonly ok: true; readonly status: number; readonly headers: Headers; readonly text: string }
  | { readonly ok: false; readonly status: number; readonly problem: ProblemDetails };

/** Undefined while it is not known whether the user has to sign in, and when nobody has to. */
let account: Account | undefined;

/** As `requestPublic`, with the user's token. */
async function request(path: string, options: RequestInit = {}): Promise<ApiResponse> {
  if (!account) return requestPublic(path, options);
  try {
    const response = await send(await account.getToken());
    // The clocks of the browser and the service may differ: retry once with a new token.
    return response.status === 401 ? await send(await account.getToken({ renew: true })) : response;
  } catch {
    const detail = "The token cannot be renewed. Check your connection, then retry.";
    return { ok: false, status: 0, problem: { title: "No response from Entra ID", detail } };
  }

  async function send(token: string | undefined): Promise<ApiResponse> {
    if (token === undefined) {
      const title = account?.status === "expired" ? "Your sign-in has expired" : "You are signed out";
      return { ok: false, status: 0, problem: { title, detail: "Sign in, then repeat this." } };
    }
    const headers = new Headers(options.headers);
    headers.set("Authorization", `Bearer ${token}`);
    return requestPublic(path, { ...options, headers });
  }
}

/**
 * Never rejects: a failure is a response with a problem.
 * @param path path below `api/`, which is relative to the page because an ingress may add a prefix
 */
async function requestPublic(path: string, options: RequestInit = {}): Promise<ApiResponse> {
  try {
    const response = await fetch(`api/${path}`, { signal: AbortSignal.timeout(5_000), ...options });
    const { ok, status, headers } = response;
    const text = await response.text();
    if (ok) return { ok, status, headers, text };
    const isProblem = headers.get("content-type")?.startsWith("application/problem+json");
    const problem = isProblem ? JSON.parse(text) : { title: `An ingress or proxy returned status ${status}` };
    return { ok, status, problem };
  } catch {
    return {
      ok: false,
      status: 0,
      problem: { title: "No response from this service", detail: "It may be restarting." },
    };
  }
}

/** Runs `task` repeatedly, with a pause between runs. Waits while the page is hidden. */
async function poll(intervalMs: number, task: () => Promise<void>): Promise<never> {
  for (;;) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
    await task();
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}

// --- elements -------------------------------------------------------------------------------------------------------

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`index.html has no ${type.name} #${id}`);
  return found;
}

function make(tag: string, className: string, ...content: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** @param hints smaller lines below the name; empty ones are left out */
function rowHeader(name: Node | string, ...hints: (string | undefined)[]): HTMLElement {
  const header = make("th", "", name, ...hints.flatMap((hint) => (hint ? [make("span", "hint", hint)] : [])));
  header.setAttribute("scope", "row");
  return header;
}

/**
 * Replaces the text of a status region. Leaves the region alone when the text is the same, because screen readers
 * announce every change.
 */
function showStatus(
  region: HTMLElement,
  kind: "done" | "failed",
  title: string,
  ...more: (string | undefined)[]
): void {
  const lines = [title, ...more.filter((line) => line !== undefined)];
  if (region.dataset.kind === kind && region.dataset.lines === lines.join("\n")) return;
  region.dataset.kind = kind;
  region.dataset.lines = lines.join("\n");
  region.replaceChildren(...lines.map((line, index) => make(index === 0 ? "strong" : "span", "", line)));
}

function showProblem(region: HTMLElement, { title, detail, traceId }: ProblemDetails): void {
  showStatus(region, "failed", title, detail, traceId === undefined ? undefined : `Trace ${traceId}`);
}

/** Runs one piece of work at a time. Sets aria-disabled: `disabled` would take the focus from the pressed button. */
async function whileBusy(buttons: HTMLButtonElement[], work: () => Promise<void>): Promise<void> {
  if (buttons.some((button) => button.ariaDisabled === "true")) return;
  for (const button of buttons) button.ariaDisabled = "true";
  await work().finally(() => {
    for (const button of buttons) button.ariaDisabled = null;
  });
}

// --- version history ------------------------------------------------------------------------------------------------

/** The responses of one version, or the requests without a response. */
interface HistoryEntry {
  readonly tone: string;
  readonly label: string;
  readonly message: string;
  readonly replicas: Set<string>;
  count: number;
  readonly first: Date;
  last: Date;
}

const versions = new Map<string, HistoryEntry>();
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

async function checkVersion(): Promise<void> {
  const response = await requestPublic("version");
  const now = new Date();
  const version: Version | undefined = response.ok ? JSON.parse(response.text) : undefined;
  const id = version ? JSON.stringify([version.version, version.message]) : "";
  const entry = versions.get(id) ?? newEntry(version, now);
  versions.set(id, entry);
  entry.count += 1;
  entry.last = now;
  if (version) entry.replicas.add(version.replica);
  showVersion(entry);
}

function newEntry(version: Version | undefined, now: Date): HistoryEntry {
  const times = { count: 0, first: now, last: now, replicas: new Set<string>() };
  if (!version) return { tone: "none", label: "No response", message: "", ...times };
  const known = [...versions.values()].filter(({ tone }) => tone !== "none").length;
  return { tone: TONES[known % TONES.length] ?? "", label: version.version, message: version.message, ...times };
}

function showVersion(current: HistoryEntry): void {
  document.documentElement.dataset.tone = current.tone;
  const version = byId("version", HTMLSpanElement);
  const text = current.tone === "none" ? "No response" : `Version ${current.label}`;
  if (version.textContent !== text) version.textContent = text;
  if (current.message) {
    byId("message", HTMLHeadingElement).textContent = current.message;
    document.title = current.message;
  }

  const tick = make("span", "tick");
  tick.dataset.tone = current.tone;
  const ribbon = byId("ribbon", HTMLDivElement);
  ribbon.append(tick);
  if (ribbon.childElementCount > RIBBON_LENGTH) ribbon.firstElementChild?.remove();

  const rows = [...versions.values()].sort((a, b) => b.last.getTime() - a.last.getTime()).map(historyRow);
  byId("history", HTMLTableSectionElement).replaceChildren(...rows);
}

function historyRow({ tone, label, message, replicas, count, first, last }: HistoryEntry): HTMLElement {
  const row = make(
    "tr",
    "",
    rowHeader(make("span", "mark", label), message, [...replicas].join(", ")),
    make("td", "number", String(count)),
    make("td", "time", `${clock.format(first)} – ${clock.format(last)}`),
  );
  row.dataset.tone = tone;
  return row;
}

// --- state ----------------------------------------------------------------------------------------------------------

/** The result of the last read: the key, and its ETag unless the key is missing. */
let lastRead: { readonly key: string; readonly etag: string | undefined } | undefined;

const key = byId("key", HTMLInputElement);
const stateStatus = byId("state-status", HTMLDivElement);

function showWriteHint(): void {
  const read = lastRead?.key === key.value ? lastRead : undefined;
  byId("write-hint", HTMLParagraphElement).textContent = !read
    ? "Not read yet: Write overwrites any stored value."
    : read.etag
      ? "Write replaces the value only if it is unchanged since you read it."
      : "No stored value: Write creates one only if there is still none.";
  byId("entry", HTMLDivElement).hidden = !read?.etag;
}

/** Shows the stored value and remembers its ETag for the next write. */
async function loadEntry(): Promise<ApiResponse> {
  const requested = key.value;
  const response = await request(`state/${encodeURIComponent(requested)}`);
  if (response.ok) {
    const etag = response.headers.get("etag") ?? "";
    lastRead = { key: requested, etag };
    byId("stored", HTMLPreElement).textContent = JSON.stringify(JSON.parse(response.text), null, 2);
    byId("etag", HTMLElement).textContent = etag;
  } else {
    lastRead = response.status === 404 ? { key: requested, etag: undefined } : undefined;
  }
  showWriteHint();
  return response;
}

async function read(): Promise<void> {
  const response = await loadEntry();
  if (response.ok) showStatus(stateStatus, "done", "Value read.");
  else if (response.status === 404) showStatus(stateStatus, "done", `No value is stored under “${key.value}”.`);
  else showProblem(stateStatus, response.problem);
}

async function write(): Promise<void> {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (lastRead?.key === key.value) {
    if (lastRead.etag) headers.set("If-Match", lastRead.etag);
    else headers.set("If-None-Match", "*");
  }
  const body = byId("value", HTMLTextAreaElement).value;
  const response = await request(`state/${encodeURIComponent(key.value)}`, { method: "PUT", headers, body });
  if (response.ok) {
    const stored = await loadEntry();
    if (stored.ok) showStatus(stateStatus, "done", "Value written.");
    else showProblem(stateStatus, { ...stored.problem, title: `Written, but not read back: ${stored.problem.title}` });
  } else if (response.status === 412) {
    const stored = await loadEntry();
    const detail = stored.ok
      ? "The current value is shown below. Write again to replace it."
      : "The value was deleted. Write again to create it.";
    showStatus(stateStatus, "failed", "The value changed since you read it. Nothing was written.", detail);
  } else {
    showProblem(stateStatus, response.problem);
  }
}

byId("state", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const work = event.submitter?.id === "write" ? write : read;
  whileBusy([byId("read", HTMLButtonElement), byId("write", HTMLButtonElement)], work);
});
key.addEventListener("input", showWriteHint);

// --- resource groups ------------------------------------------------------------------------------------------------

const groupsStatus = byId("groups-status", HTMLDivElement);

async function listGroups(options: RequestInit = {}): Promise<void> {
  const response = await request("groups", options);
  if (!response.ok) return showProblem(groupsStatus, response.problem);
  const groups: Group[] = JSON.parse(response.text);
  byId("sample", HTMLParagraphElement).hidden = !response.headers.has("sample-data");
  byId("groups", HTMLUListElement).replaceChildren(...groups.map(groupItem));
  const age = Number(response.headers.get("age") ?? 0);
  const cached = age > 0 ? `Azure returned this list ${plural(age, "second")} ago.` : undefined;
  showStatus(groupsStatus, "done", plural(groups.length, "group"), cached);
}

function groupItem({ name, location, provisioningState }: Group): HTMLElement {
  const more = [location, ...(provisioningState === "Succeeded" ? [] : [provisioningState])].join(" · ");
  return make("li", "", make("span", "name", name), make("span", "hint", more));
}

function plural(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

byId("refresh", HTMLButtonElement).addEventListener("click", () => {
  whileBusy([byId("refresh", HTMLButtonElement)], () => listGroups({ headers: { "Cache-Control": "no-cache" } }));
});

// --- health ---------------------------------------------------------------------------------------------------------

async function checkHealth(): Promise<void> {
  const response = await request("health");
  const health: Health[] = response.ok
    ? JSON.parse(response.text)
    : [{ appId: "welcome", service: unanswered(), sidecar: "unknown", reason: response.problem.title }];
  byId("health", HTMLTableSectionElement).replaceChildren(...health.map(healthRow));
}

/** Without a token, the page does not ask. */
function unanswered(): HealthStatus {
  return account?.status === "expired" ? "unknown" : "no response";
}

function healthRow({ appId, service, sidecar, reason }: Health): HTMLElement {
  const cells = [make("td", "", healthBadge(service)), make("td", "", healthBadge(sidecar))];
  return make("tr", "", rowHeader(appId, reason), ...cells);
}

function healthBadge(status: HealthStatus): HTMLElement {
  const badge = make("span", "health", status);
  badge.dataset.health = status;
  return badge;
}

// --- sign-in --------------------------------------------------------------------------------------------------------

const signInButton = byId("sign-in", HTMLButtonElement);
const signOutButton = byId("sign-out", HTMLButtonElement);

/** Resolves when the page knows whether the user has to sign in. */
async function checkSignIn(): Promise<void> {
  for (;;) {
    const response = await requestPublic("sign-in");
    if (response.ok) {
      const settings: SignInSettings = JSON.parse(response.text);
      if (settings.required) account = await openAccount(settings, showAccount);
      return;
    }
    await new Promise((resolve) => setTimeout(resolve, VERSION_INTERVAL_MS));
  }
}

function showAccount(): void {
  if (!account) return;
  const { status, name = "", failure } = account;
  byId("account", HTMLDivElement).hidden = false;
  byId("user", HTMLParagraphElement).textContent = status === "expired" ? `${name}: your sign-in has expired` : name;
  signInButton.textContent = status === "expired" ? "Sign in again" : "Sign in";
  signInButton.hidden = status === "signed-in";
  signOutButton.hidden = status === "signed-out";
  for (const part of document.querySelectorAll<HTMLElement>(".protected")) part.hidden = status === "signed-out";
  for (const note of document.querySelectorAll<HTMLElement>(".signed-out")) note.hidden = status !== "signed-out";
  for (const note of document.querySelectorAll<HTMLElement>(".signed-in")) note.hidden = status === "signed-out";
  if (failure) showProblem(byId("sign-in-status", HTMLDivElement), { title: "Sign-in failed", detail: failure });
}

// A browser may show the page again as it was before the user signed out.
addEventListener("pageshow", ({ persisted }) => {
  if (persisted && account) location.reload();
});
signInButton.addEventListener("click", () => whileBusy([signInButton], async () => account?.signIn()));
signOutButton.addEventListener("click", () => whileBusy([signOutButton], async () => account?.signOut()));

// --- start ----------------------------------------------------------------------------------------------------------

showWriteHint();
poll(VERSION_INTERVAL_MS, checkVersion);
try {
  await checkSignIn();
  showAccount();
  if (account?.status !== "signed-out") {
    listGroups();
    poll(HEALTH_INTERVAL_MS, checkHealth);
  }
} catch (error) {
  const detail = error instanceof Error ? error.message : String(error);
  showProblem(byId("sign-in-status", HTMLDivElement), { title: "This page cannot sign you in", detail });
}
