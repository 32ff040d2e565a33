// Packs the sources as `az acr build` does before it uploads them: az reads .dockerignore with code of its own.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { findAzPython } from "../support/az.ts";
import { root } from "../support/processes.ts";
import { copyRepository } from "../support/repository.ts";

test("az acr build uploads the Dockerfile and the files that it copies, and neither node_modules nor .env", async () => {
  const folder = mkdtempSync(join(tmpdir(), "az-build-context-"));
  try {
    const repository = join(folder, "repository");
    copyRepository(repository);
    mkdirSync(join(repository, "node_modules/express"), { recursive: true });
    for (const file of ["node_modules/express/index.js", ".env"]) writeFileSync(join(repository, file), "");
    const archive = join(folder, "context.tar.gz");
    const script = `from azure.cli.command_modules.acr._archive_utils import _pack_source_code
_pack_source_code(".", "${archive}", "Dockerfile", "Dockerfile")`;
    execFileSync(await findAzPython(), ["-c", script], { cwd: repository, stdio: "pipe" });

    const entries = execFileSync("tar", ["--list", "--file", archive], { encoding: "utf8" }).split("\n");
    const copied = ["LICENSE", "package.json", "package-lock.json", "services", "stand-ins", "tools"];
    const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", ...copied], {
      cwd: root,
      encoding: "utf8",
    });
    const wanted = [...tracked.trim().split("\n"), "Dockerfile"].filter((file) => !file.endsWith("page/tsconfig.json"));
    expect(entries.filter((entry) => entry !== "" && !entry.endsWith("/")).sort()).toEqual(wanted.sort());
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
