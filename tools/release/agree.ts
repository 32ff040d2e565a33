// After a release, the next deployment of infra/bicep must deploy what is live, not what was before.
import { readFile } from "node:fs/promises";
import type { Revision } from "./azure/azure.ts";
import { imageOf } from "./candidate.ts";
import type { Definition } from "./definition.ts";

/**
 * Commands that set the environment variables with which infra/bicep/parameters/APP.bicepparam deploys what is live.
 *
 * @param parameters content of that file
 */
export function agreeWith(definition: Definition, live: Revision, parameters: string): string[] {
  const { app } = definition;
  const read = new Set([...parameters.matchAll(/readEnvironmentVariable\('(\w+)'/g)].map(([, name]) => name));
  const image = imageOf(definition, live);
  const variables = live.template.containers.flatMap(({ env = [] }) => env);
  return [
    ...(image === undefined ? [] : [set(`SERVICE_${app.toUpperCase().replaceAll("-", "_")}_IMAGE_NAME`, image)]),
    ...variables.flatMap(({ name, value }) =>
      name !== undefined && value !== undefined && read.has(name) ? [set(name, value)] : [],
    ),
  ];
}

/** The file is missing for an app that is not part of the suite: then only its image is known. */
export async function readAgreement(definition: Definition, live: Revision): Promise<string[]> {
  const file = `infra/bicep/parameters/${definition.app}.bicepparam`;
  return agreeWith(definition, live, await readFile(file, "utf8").catch(() => ""));
}

function set(name: string, value: string): string {
  // A terminal would obey an escape sequence.
  if (/[^\P{Cc}\n]/u.test(value)) return `# ${name} has control characters: set it to the value that the app has.`;
  return `export ${name}=${/^[\w.:/@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`;
}
