import { homedir } from "node:os";
import { join } from "node:path";

/** The folder in which all clones of this user keep the programs that they built or downloaded. */
export function findCacheFolder({ env, platform }: { env: NodeJS.ProcessEnv; platform: NodeJS.Platform }): string {
  const home = env.HOME || homedir();
  const caches =
    platform === "win32"
      ? env.LOCALAPPDATA || join(home, "AppData", "Local")
      : env.XDG_CACHE_HOME || (platform === "darwin" ? join(home, "Library", "Caches") : join(home, ".cache"));
  return join(caches, "dapr-on-azure-samples");
}
