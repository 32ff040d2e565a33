import { DatabaseSync } from "node:sqlite";

/**
 * Creates the SQLite file that the sidecars put their names in (`nameResolution` in components/local/config.yaml), in
 * WAL mode; keeps an existing one. daprd 1.18 switches a new file to WAL mode. That fails with "database is locked"
 * when another process does the same at that moment, or reads the file for longer than `busyTimeout`. The sidecar then
 * runs on without a name, and every call to it fails with "no host found".
 * @throws Error that names the file, when it is not a database or cannot be opened
 */
export function createNamesFile(path: string): void {
  try {
    using file = new DatabaseSync(path, { timeout: 1_000 });
    file.exec("PRAGMA journal_mode = WAL");
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Error(`${path}, which holds the names of the sidecars, cannot be opened: ${reason}. Delete the file.`);
  }
}
