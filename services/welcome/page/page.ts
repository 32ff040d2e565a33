// The page: shows what /api says. What comes from others is inserted as text, never as HTML.
import type { Condition, Group, Health, ProblemDetails, Version } from "../api.ts";

const VERSION_EVERY_MS = 1_500;
const HEALTH_EVERY_MS = 5_000;
const RIBBON_LENGTH = 60;
/** Tones of versions in the order they were seen, so that a blue-green switch is one. */
const TONES = ["blue", "green", "violet", "amber"];

// --- asking -----------------------------------------------------------------------------------------------------------

type Answer =
  | { readonly ok: true; readonly status: number; readonly headers: Headers; readonly text: string }
  | { readonly ok: false; readonly status: number; readonly problem: ProblemDetails };

/** @param path inside /api; relative to the page, which an ingress may have put below a prefix */
async function ask(path: string, options: RequestInit = {}): Promise<Answer> {
  try {
    const response = await fetch(`api/${path}`, { signal: AbortSignal.timeout(5_000), ...options });
    const { ok, status, headers } = response;
    const text = await response.text();
    if (ok) return { ok, status, headers, text };
    const isProblem = headers.get("content-type")?.startsWith("application/problem+json");
    const problem = isProblem ? JSON.parse(text) : { title: `Something before this service answered with ${status}` };
    return { ok, status, problem };
  } catch {
    return {
      ok: false,
      status: 0,
      problem: { title: "This service does not answer", detail: "It may be restarting." },
    };
  }
}

/** Runs `task` again and again, but not while nobody looks. */
async function poll(everyMs: number, task: () => Promise<void>): Promise<never> {
  for (;;) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
    }
    await task();
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

// --- elements ---------------------------------------------------------------------------------------------------------

function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const found = document.getElementById(id);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return found;
}

function make(tag: string, className: string, ...content: (Node | string)[]): HTMLElement {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** @param hints smaller, below it; empty ones are left out */
function rowHeader(name: Node | string, ...hints: (string | undefined)[]): HTMLElement {
  const header = make("th", "", name, ...hints.flatMap((hint) => (hint ? [make("span", "hint", hint)] : [])));
  header.setAttribute("scope", "row");
  return header;
}

/** Replaces what a status region says; nothing happens when it says so already, so that a screen reader stays quiet. */
function say(region: HTMLElement, kind: "done" | "failed", title: string, ...more: (string | undefined)[]): void {
  const lines = [title, ...more].filter((line) => line !== undefined);
  if (region.dataset.kind === kind && region.dataset.lines === lines.join("\n")) return;
  region.dataset.kind = kind;
  region.dataset.lines = lines.join("\n");
  region.replaceChildren(...lines.map((line, index) => make(index === 0 ? "strong" : "span", "", line)));
}

function sayProblem(region: HTMLElement, { title, detail, traceId }: ProblemDetails): void {
  say(region, "failed", title, detail, traceId === undefined ? undefined : `Trace ${traceId}`);
}

// --- versions ---------------------------------------------------------------------------------------------------------

interface Seen {
  readonly tone: string;
  readonly label: string;
  readonly message: string;
  readonly replicas: Set<string>;
  answers: number;
  readonly first: Date;
  last: Date;
}

const seen = new Map<string, Seen>();
const clock = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

async function watchVersion(): Promise<void> {
  const answer = await ask("version");
  const now = new Date();
  const version: Version | undefined = answer.ok ? JSON.parse(answer.text) : undefined;
  const id = version ? JSON.stringify([version.version, version.message]) : "";
  let entry = seen.get(id);
  if (!entry) {
    const known = [...seen.values()].filter(({ tone }) => tone !== "none").length;
    entry = {
      tone: version ? (TONES[known % TONES.length] ?? "") : "none",
      label: version?.version ?? "no answer",
      message: version?.message ?? "",
      replicas: new Set(),
      answers: 0,
      first: now,
      last: now,
    };
    seen.set(id, entry);
  }
  entry.answers += 1;
  entry.last = now;
  if (version) entry.replicas.add(version.replica);
  showVersion(entry);
}

function showVersion(current: Seen): void {
  document.documentElement.dataset.tone = current.tone;
  const version = byId("version", HTMLSpanElement);
  const text = current.tone === "none" ? "No answer at the moment" : `Version ${current.label} answers`;
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

  const rows = [...seen.values()].sort((a, b) => b.last.getTime() - a.last.getTime()).map(versionRow);
  byId("history", HTMLTableSectionElement).replaceChildren(...rows);
}

function versionRow({ tone, label, message, replicas, answers, first, last }: Seen): HTMLElement {
  const row = make(
    "tr",
    "",
    rowHeader(make("span", "mark", label), message, [...replicas].join(", ")),
    make("td", "number", String(answers)),
    make("td", "", `${clock.format(first)} – ${clock.format(last)}`),
  );
  row.dataset.tone = tone;
  return row;
}

// --- state ------------------------------------------------------------------------------------------------------------

/** What the last read said about a key: its ETag, or that there was no entry. */
let known: { readonly key: string; readonly etag: string | undefined } | undefined;

const key = byId("key", HTMLInputElement);
const stateStatus = byId("state-status", HTMLDivElement);

function showCondition(): void {
  const read = known?.key === key.value ? known : undefined;
  byId("condition", HTMLParagraphElement).textContent = !read
    ? "Not read yet, so a write replaces whatever is there."
    : read.etag
      ? "A write replaces only what was read, by its ETag."
      : "There was no entry, so a write only creates one.";
  byId("entry", HTMLDivElement).hidden = !read?.etag;
}

/** Shows what is stored and remembers its ETag for the next write. */
async function readState(): Promise<Answer> {
  const asked = key.value;
  const answer = await ask(`state/${encodeURIComponent(asked)}`);
  if (answer.ok) {
    const etag = answer.headers.get("etag") ?? "";
    known = { key: asked, etag };
    byId("stored", HTMLPreElement).textContent = JSON.stringify(JSON.parse(answer.text), null, 2);
    byId("etag", HTMLElement).textContent = etag;
  } else {
    known = answer.status === 404 ? { key: asked, etag: undefined } : undefined;
  }
  showCondition();
  return answer;
}

async function read(): Promise<void> {
  const answer = await readState();
  if (answer.ok) say(stateStatus, "done", "Read.");
  else if (answer.status === 404) say(stateStatus, "done", `There is no entry under “${key.value}”.`);
  else sayProblem(stateStatus, answer.problem);
}

async function write(): Promise<void> {
  const headers = new Headers({ "Content-Type": "application/json" });
  if (known?.key === key.value) {
    if (known.etag) headers.set("If-Match", known.etag);
    else headers.set("If-None-Match", "*");
  }
  const body = byId("value", HTMLTextAreaElement).value;
  const answer = await ask(`state/${encodeURIComponent(key.value)}`, { method: "PUT", headers, body });
  if (answer.ok) {
    const after = await readState();
    if (after.ok) say(stateStatus, "done", "Written.");
    else sayProblem(stateStatus, { ...after.problem, title: `Written, but not read again: ${after.problem.title}` });
  } else if (answer.status === 412) {
    const now = await readState();
    const detail = now.ok
      ? "Below is what is stored now; write again to replace that."
      : "It is gone; write again to create it.";
    say(stateStatus, "failed", "Somebody else changed this entry since it was read. Nothing was written.", detail);
  } else {
    sayProblem(stateStatus, answer.problem);
  }
}

// --- groups -----------------------------------------------------------------------------------------------------------

const groupsStatus = byId("groups-status", HTMLDivElement);

async function listGroups(options: RequestInit = {}): Promise<void> {
  const answer = await ask("groups", options);
  if (!answer.ok) return sayProblem(groupsStatus, answer.problem);
  const groups: Group[] = JSON.parse(answer.text);
  byId("sample", HTMLParagraphElement).hidden = !answer.headers.has("sample-data");
  byId("groups", HTMLUListElement).replaceChildren(...groups.map(groupItem));
  const age = Number(answer.headers.get("age") ?? 0);
  say(
    groupsStatus,
    "done",
    count(groups.length, "group"),
    age > 0 ? `as Azure listed them ${count(age, "second")} ago` : "",
  );
}

function groupItem({ name, location, provisioningState }: Group): HTMLElement {
  const more = [location, ...(provisioningState === "Succeeded" ? [] : [provisioningState])].join(" · ");
  return make("li", "", make("span", "name", name), make("span", "hint", more));
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

// --- health -----------------------------------------------------------------------------------------------------------

async function watchHealth(): Promise<void> {
  const answer = await ask("health");
  const health: Health[] = answer.ok
    ? JSON.parse(answer.text)
    : [{ appId: "welcome", service: "no answer", sidecar: "unknown", reason: answer.problem.title }];
  byId("health", HTMLTableSectionElement).replaceChildren(...health.map(healthRow));
}

function healthRow({ appId, service, sidecar, reason }: Health): HTMLElement {
  return make(
    "tr",
    "",
    rowHeader(appId, reason),
    make("td", "", condition(service)),
    make("td", "", condition(sidecar)),
  );
}

function condition(value: Condition): HTMLElement {
  const element = make("span", "condition", value);
  element.dataset.condition = value;
  return element;
}

// --- start ------------------------------------------------------------------------------------------------------------

byId("state", HTMLFormElement).addEventListener("submit", (event) => {
  event.preventDefault();
  const work = event.submitter?.id === "write" ? write : read;
  whileBusy([byId("read", HTMLButtonElement), byId("write", HTMLButtonElement)], work);
});
key.addEventListener("input", showCondition);
byId("refresh", HTMLButtonElement).addEventListener("click", () => {
  whileBusy([byId("refresh", HTMLButtonElement)], () => listGroups({ headers: { "Cache-Control": "no-cache" } }));
});

/** One thing at a time. aria-disabled and not disabled, which would take the focus from the button that was pressed. */
async function whileBusy(buttons: HTMLButtonElement[], work: () => Promise<void>): Promise<void> {
  if (buttons.some((button) => button.ariaDisabled === "true")) return;
  for (const button of buttons) button.ariaDisabled = "true";
  await work().finally(() => {
    for (const button of buttons) button.ariaDisabled = null;
  });
}

showCondition();
listGroups();
poll(VERSION_EVERY_MS, watchVersion);
poll(HEALTH_EVERY_MS, watchHealth);
