import { existsSync, readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";

interface Asset {
  readonly type: string;
  readonly body: string;
}

/**
 * Reads the files of the page. `page` is the document; `others` holds the rest by path. Node strips the types of the
 * scripts, as it does for the service itself, so the page needs no build. Node calls the function experimental and
 * warns once on stderr; dapr.yaml and the Dockerfile disable that warning, because the suite pins its Node and tests
 * the page.
 * @param options signIn: adds Microsoft's library, which the page loads only to sign a user in
 */
export function readAssets({ signIn }: { signIn: boolean }): {
  readonly page: Asset;
  readonly others: Readonly<Record<string, Asset>>;
} {
  return {
    page: { type: "text/html; charset=utf-8", body: read("index.html") },
    others: {
      "/style.css": { type: "text/css; charset=utf-8", body: read("style.css") },
      "/icon.svg": { type: "image/svg+xml", body: read("icon.svg") },
      "/page.js": script(readModule("page.ts")),
      "/sign-in.js": script(readModule("sign-in.ts")),
      ...(signIn ? { "/msal-browser.js": script(readMsal()) } : {}),
    },
  };
}

function script(body: string): Asset {
  return { type: "text/javascript; charset=utf-8", body };
}

function read(name: string): string {
  return readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
}

function readModule(name: string): string {
  return stripTypeScriptTypes(read(name)).replaceAll(/( from "\.\/[\w-]+)\.ts"/g, '$1.js"');
}

/** @azure/msal-browser with its licence, from node_modules, or in an image from beside the page (tools/bundle). */
function readMsal(): string {
  const [license, library] = ["LICENSE", "lib/msal-browser.min.js"].map((name) => {
    const bundled = new URL(`page/msal-browser/${name}`, import.meta.url);
    const installed = new URL(`../../node_modules/@azure/msal-browser/${name}`, import.meta.url);
    return readFileSync(existsSync(bundled) ? bundled : installed, "utf8");
  });
  return `/*\n${license}*/\n${library}`;
}
