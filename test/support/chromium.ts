import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { installFromDebian } from "./debian.ts";

/**
 * Returns the path of a Chromium or Chrome: `CHROMIUM`, the first one on PATH, or Chrome's default path on macOS. Where
 * apt-get can install it (as root, or with a sudo that needs no password), installs Debian's chromium as a last resort.
 * @throws when there is none; the message says how to install one
 */
export async function findChromium(): Promise<string> {
  const named = process.env.CHROMIUM;
  if (named) {
    if (isExecutable(named)) return named;
    throw new Error(`CHROMIUM=${named} is not executable. Set it to the path of a Chromium or Chrome, or unset it.`);
  }
  const found = searchUsualPlaces();
  if (found) return found;
  let reason = "";
  if (onPath("apt-get")) {
    try {
      console.log(
        "Installing Debian's chromium with apt-get for the page tests; set CHROMIUM to use another browser …",
      );
      await installFromDebian("chromium", "chromium");
    } catch (error) {
      reason = `\napt-get could not install it: ${error instanceof Error ? error.message : error}`;
    }
  }
  const installed = searchUsualPlaces();
  if (installed) return installed;
  throw new Error(
    "The page tests need Chromium. Install it (Debian: apt-get install chromium; macOS: brew install --cask " +
      `chromium) or set CHROMIUM to the path of a Chromium or Chrome.${reason}`,
  );
}

function searchUsualPlaces(): string | undefined {
  const mac = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
  return (
    ["chromium", "chromium-browser", "google-chrome"].map(onPath).find((path) => path !== undefined) ??
    (isExecutable(mac) ? mac : undefined)
  );
}

function onPath(name: string): string | undefined {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
