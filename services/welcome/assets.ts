import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";

interface Asset {
  readonly type: string;
  readonly body: string;
}

/** The files of the page by their paths, read and prepared once. */
export function readAssets(): { readonly page: Asset; readonly others: Readonly<Record<string, Asset>> } {
  return {
    page: { type: "text/html; charset=utf-8", body: read("index.html") },
    others: {
      "/style.css": { type: "text/css; charset=utf-8", body: read("style.css") },
      "/icon.svg": { type: "image/svg+xml", body: read("icon.svg") },
      "/page.js": { type: "text/javascript; charset=utf-8", body: toJavaScript(read("page.ts")) },
    },
  };
}

function read(name: string): string {
  return readFileSync(new URL(`page/${name}`, import.meta.url), "utf8");
}

/**
 * With what Node itself runs TypeScript, so the page needs no build. Node 26 still calls the function experimental and says
 * so on stderr at each start; the suite pins its Node and tests the outcome, so nobody has to read that.
 */
function toJavaScript(source: string): string {
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    return stripTypeScriptTypes(source);
  } finally {
    process.emitWarning = emitWarning;
  }
}
