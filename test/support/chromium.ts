import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { installFromDebian } from "./debian.ts";

/**
 * Path of a Chromium or Chrome: `CHROMIUM`, one on PATH, macOS's usual one; on Debian as root (or with a sudo that does not
 * ask), Debian's own, installed now.
 * @throws when there is none, with how to get one
 */
export async function findChromium(): Promise<string> {
  const named = process.env.CHROMIUM;
  if (named) {
    if (isExecutable(named)) return named;
    throw new Error(`CHROMIUM=${named} cannot be executed`);
  }
  const found = look();
  if (found) return found;
  let reason = "";
  if (onPath("apt-get")) {
    try {
      console.log("Installing Debian's chromium with apt-get for the tests of the page; set CHROMIUM to use another …");
      await installFromDebian("chromium", "chromium");
    } catch (error) {
      reason = `\napt-get could not install it: ${error instanceof Error ? error.message : error}`;
    }
  }
  const installed = look();
  if (installed) return installed;
  throw new Error(
    "The tests of the page need Chromium: install it (Debian: apt-get install chromium; macOS: brew install --cask " +
      `chromium) or set CHROMIUM to the path of a Chromium or Chrome.${reason}`,
  );
}

function look(): string | undefined {
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
