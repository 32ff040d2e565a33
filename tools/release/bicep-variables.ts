// After a release, the next deployment of infra/bicep must deploy what is live, not what was before.
import { readFile } from "node:fs/promises";
import type { Revision } from "./azure/azure.ts";
import { imageOf } from "./core/candidate.ts";
import type { Definition } from "./definition/definition.ts";
import { clean } from "./show/format.ts";

/** What infra/bicep has for an app: its parameter file, and the templates that set its variables. */
interface Deployment {
  readonly parameters: string;
  readonly templates: string;
}

/**
 * Commands that set the environment variables with which infra/bicep/parameters/APP.bicepparam deploys what is live,
 * and comments about what it would not keep.
 *
 * @param deployment undefined: the app is not part of the suite, so only its image is known
 */
export function agreeWith(definition: Definition, live: Revision, deployment: Deployment | undefined): string[] {
  const { app } = definition;
  const { parameters = "", templates = "" } = deployment ?? {};
  const read = new Set([...parameters.matchAll(/readEnvironmentVariable\('(\w+)'/g)].map(([, name]) => name));
  const fixed = new Set([...templates.matchAll(/\bname: '(\w+)', value:/g)].map(([, name]) => name));
  const image = imageOf(definition, live);
  const variables = live.template.containers.flatMap(({ env = [] }) => env);
  const lost = variables.flatMap(({ name, value }) =>
    deployment && name !== undefined && value !== undefined && !read.has(name) && !fixed.has(name) ? [name] : [],
  );
  return [
    ...(image === undefined ? [] : [set(`SERVICE_${app.toUpperCase().replaceAll("-", "_")}_IMAGE_NAME`, image)]),
    ...variables.flatMap(({ name, value }) =>
      name !== undefined && value !== undefined && read.has(name) ? [set(name, value)] : [],
    ),
    ...lost.map((name) => `# ${clean(name)}: not in infra/bicep/apps/${app}.bicep, so the next deployment removes it`),
    ...(image === undefined || !deployment
      ? []
      : [`# azd deploy builds an image of its own. For this one: azd deploy ${app} --from-package ${clean(image)}`]),
  ];
}

export async function readAgreement(definition: Definition, live: Revision): Promise<string[]> {
  const { app } = definition;
  const files = [`parameters/${app}.bicepparam`, `apps/${app}.bicep`, "modules/container-app.bicep"];
  const texts = await Promise.all(files.map((file) => readFile(`infra/bicep/${file}`, "utf8").catch(() => undefined)));
  const [parameters, ...templates] = texts;
  const deployment = parameters === undefined ? undefined : { parameters, templates: templates.join("\n") };
  return agreeWith(definition, live, deployment);
}

function set(name: string, value: string): string {
  // A terminal would obey an escape sequence.
  if (/[^\P{Cc}\n]/u.test(value)) return `# ${name} has control characters: set it to the value that the app has.`;
  return `export ${name}=${/^[\w.:/@-]+$/.test(value) ? value : `'${value.replaceAll("'", "'\\''")}'`}`;
}
