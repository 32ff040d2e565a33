// Runs before `npm start`, `npm test` and the like, on whatever Node the machine has: plain JavaScript, no dependencies.
// Installs what package-lock.json names, the pinned Node 26 included, when it is not there yet.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

process.chdir(new URL("..", import.meta.url).pathname);
const stamp = "node_modules/.setup";
const wanted = createHash("sha256").update(readFileSync("package-lock.json")).digest("hex");

if (read(stamp) !== wanted) {
  console.log("Installing the npm packages of package-lock.json, Node 26 among them (once, about a minute) …");
  const npm = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (npm.status !== 0) {
    console.error("npm ci failed; its message is above. Mend it and run the same command again.");
    process.exit(1);
  }
  writeFileSync(stamp, wanted);
}

/** @param {string} file */
function read(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}
