import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeEach, expect, onTestFinished, test } from "vitest";
import { createNamesFile } from "../../tools/daprd/names.ts";
import { readLocalConfig, startSidecar } from "../support/processes.ts";

let folder: string;
let file: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "names-test-"));
  file = join(folder, "names.db");
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Reads the file while a sidecar starts, as another sidecar that starts at the same time does. */
async function startSidecarBesideReader(): Promise<string> {
  const reader = new DatabaseSync(file);
  onTestFinished(() => reader.close());
  reader.exec("BEGIN");
  reader.prepare("SELECT * FROM sqlite_schema").all();
  const config = join(folder, "config.yaml");
  writeFileSync(config, readLocalConfig(file));
  const sidecar = await startSidecar({ resources: [], config });
  onTestFinished(async () => void (await sidecar.end()));
  return sidecar.output();
}

function names(): unknown[] {
  using database = new DatabaseSync(file, { readOnly: true });
  return database
    .prepare("SELECT app_id FROM hosts")
    .all()
    .map(({ app_id }) => app_id);
}

test("a sidecar puts its name into the file while another process reads it", async () => {
  createNamesFile(file);
  expect(await startSidecarBesideReader()).not.toContain("database is locked");
  expect(names()).toEqual(["state-api"]);
});

// When this fails, check whether daprd has fixed the fault: createNamesFile can go then.
test("without the WAL mode, a sidecar starts without a name", async () => {
  using other = new DatabaseSync(file);
  other.exec("CREATE TABLE other (id)");
  expect(await startSidecarBesideReader()).toContain("database is locked");
  expect(names).toThrow("no such table: hosts");
});

test("an existing file stays as it is, also while a sidecar has it open", () => {
  createNamesFile(file);
  using sidecar = new DatabaseSync(file);
  sidecar.exec("CREATE TABLE hosts (app_id); INSERT INTO hosts VALUES ('state-api'); BEGIN IMMEDIATE");
  createNamesFile(file);
  expect(names()).toEqual(["state-api"]);
});

test("a file that is no database is named in the error, and stays as it is", () => {
  writeFileSync(file, "This is no database. ".repeat(1000));
  expect(() => createNamesFile(file)).toThrow(
    `${file}, which holds the names of the sidecars, cannot be opened: file is not a database. Delete the file.`,
  );
  expect(readFileSync(file, "utf8")).toContain("This is no database.");
});
