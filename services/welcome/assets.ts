import { readFileSync } from "node:fs";

interface Asset {
  readonly type: string;
  readonly body: string;
}

/** Reads the files of the page. `page` is the document; `others` holds the rest by path. */
export function readAssets(): { readonly page: Asset; readonly others: Readonly<Record<string, Asset>> } {
  return {
    page: { type: "text/html; charset=utf-8", body: read("index.html") },
    others: {
      "/style.css": { type: "text/css; charset=utf-8", body: read("style.css") },
      "/icon.svg": { type: "image/svg+xml", body: read("icon.svg") },
      "/page.js": { type: "text/javascript; charset=utf-8", body: read("page.js") },
    },
  };
}

function read(name: string): string {
  return readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
}
