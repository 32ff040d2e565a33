import { DatabaseSync } from "node:sqlite";

/**
 * Creates the SQLite file that the sidecars put their names in (`nameResolution` in components/local/config.yaml), in
 * WAL mode; keeps an existing one. daprd 1.18 switches a new file to WAL mode, which fails with "database is locked"
 * while another process reads the file. Of several sidecars that create it at once, one can therefore end up without a
 * name. It runs on, and every call to it fails with "no host found".
 * @throws Error that names the file, when it is no database or cannot be written
 */
export function createNamesFile(path: string): void {
  try {
    using file = new DatabaseSync(path);
    file.exec("PRAGMA journal_mode = WAL");
  } catch (error) {
    const reason = error instanceof Error ? error.message : error;
    throw new Error(`${path}, which has the names of the sidecars, is not usable: ${reason}. Delete it.`);
  }
}
