import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";

interface Asset {
  readonly type: string;
  readonly body: string;
}

/**
 * Reads the files of the page. `page` is the document; `others` holds the rest by path. Node strips the types of the
 * script, as it does for the service itself, so the page needs no build. Node calls the function experimental and warns
 * once on stderr; dapr.yaml and the Dockerfile disable that warning, because the suite pins its Node and tests the
 * page.
 */
export function readAssets(): { readonly page: Asset; readonly others: Readonly<Record<string, Asset>> } {
  return {
    page: { type: "text/html; charset=utf-8", body: read("index.html") },
    others: {
      "/style.css": { type: "text/css; charset=utf-8", body: read("style.css") },
      "/icon.svg": { type: "image/svg+xml", body: read("icon.svg") },
      "/page.js": { type: "text/javascript; charset=utf-8", body: stripTypeScriptTypes(read("page.ts")) },
    },
  };
}

function read(name: string): string {
  return readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
}
