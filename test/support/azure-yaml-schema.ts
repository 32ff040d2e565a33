// Finds the published schema of azure.yaml.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findCacheFolder } from "../../tools/build-cache/folder.ts";

/** Pinned to a commit of azd 1.31.2. */
const commit = "48865ed5ca1601e0d003198dcc04f1255f187094";
const sha256 = "ff8d40d0d84c4b5ab1a934e61553c8ce985a05da63e63c59f6abcd58ab73b998";

interface Surroundings {
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** URL of the repository's files, without the commit. */
  readonly files: string;
}

/**
 * Reads the schema from the file AZURE_YAML_SCHEMA, any version; else the pinned version from the cache, where it is
 * downloaded once.
 *
 * @throws with the reason when the download fails
 */
export async function findAzureYamlSchema(differences: Partial<Surroundings> = {}): Promise<object> {
  const { env, platform, files } = {
    env: process.env,
    platform: process.platform,
    files: "https://raw.githubusercontent.com/Azure/azure-dev",
    ...differences,
  };
  if (env.AZURE_YAML_SCHEMA) return JSON.parse(readFileSync(env.AZURE_YAML_SCHEMA, "utf8"));
  const cached = join(findCacheFolder({ env, platform }), `azure.yaml-${sha256.slice(0, 8)}.schema.json`);
  if (!existsSync(cached)) await download(`${files}/${commit}/schemas/v1.0/azure.yaml.json`, cached);
  return JSON.parse(readFileSync(cached, "utf8"));
}

/** Like findAzureYamlSchema, but without a schema it warns and returns undefined, and in CI it throws. */
export async function findAzureYamlSchemaOrSkip(): Promise<object | undefined> {
  try {
    return await findAzureYamlSchema();
  } catch (error) {
    if (process.env.CI) throw error;
    console.warn(`\nSKIPPED: the schema of azure.yaml is missing. Set AZURE_YAML_SCHEMA to its file. ${error}\n`);
    return undefined;
  }
}

async function download(url: string, to: string): Promise<void> {
  const response = await fetch(url, { signal: AbortSignal.timeout(30_000) }).catch((error) => {
    throw new Error(`${url}: ${error.cause?.message ?? error.message}`);
  });
  if (!response.ok) throw new Error(`${url} returned ${response.status}`);
  const content = await response.bytes();
  const digest = createHash("sha256").update(content).digest("hex");
  if (digest !== sha256) throw new Error(`${url} is not usable: its SHA-256 is ${digest}, but ${sha256} is pinned`);
  mkdirSync(dirname(to), { recursive: true });
  const unfinished = `${to}.${process.pid}`;
  writeFileSync(unfinished, content);
  renameSync(unfinished, to);
}
