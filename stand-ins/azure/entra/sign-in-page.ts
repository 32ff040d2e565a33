// The pages of the stand-in. They contain no script, and every value in them is escaped.
import type { AzureResponse } from "../http.ts";
import type { Application, User } from "./directory.ts";
import type { EntraError } from "./error.ts";

/** Name of the field that carries the chosen user's object id. */
export const choice = "sample_user";
/** Its value when the user declines. */
export const cancelled = "cancelled";

export function signInPage(
  parameters: URLSearchParams,
  client: Application,
  scopes: readonly string[],
  users: readonly User[],
): AzureResponse {
  const fields = [...parameters].map(
    ([name, value]) => `<input type="hidden" name="${escapeHtml(name)}" value="${escapeHtml(value)}">`,
  );
  const buttons = users.map(
    ({ objectId, name, username }) =>
      `<p><button name="${choice}" value="${escapeHtml(objectId)}">${escapeHtml(name)} (${escapeHtml(username)})</button></p>`,
  );
  return page(
    200,
    "Sign in",
    `<p>This is a stand-in for Microsoft Entra ID. It asks for no password: choose a sample user.</p>
<p><b>${escapeHtml(client.displayName ?? client.clientId)}</b> asks for: ${escapeHtml(scopes.join(", "))}.</p>
<form method="post" action="?">
${[...fields, ...buttons].join("\n")}
<p><button name="${choice}" value="${cancelled}">Cancel</button></p>
</form>`,
  );
}

export function errorPage({ status, body }: EntraError): AzureResponse {
  return page(
    status,
    "Sorry, but we’re having trouble signing you in.",
    `<p>${escapeHtml(body.error_description)}</p>`,
  );
}

export function signedOutPage(): AzureResponse {
  return page(200, "You signed out of your account", "<p>It’s a good idea to close all browser windows.</p>");
}

function page(status: number, title: string, content: string): AzureResponse {
  return {
    status,
    headers: {
      "Content-Type": "text/html; charset=utf-8",
      "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'",
      "X-Frame-Options": "DENY",
      "Referrer-Policy": "no-referrer",
      "Cache-Control": "no-store",
    },
    body: `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>${title}</title>
<h1>${title}</h1>
${content}
</html>
`,
  };
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
