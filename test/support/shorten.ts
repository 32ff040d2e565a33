// Shortens the expressions that a plan leaves for Azure to evaluate, so that tests can compare them.

/** A literal argument. */
const text = "'([^']*)'";
const deployment = `resourceId\\(${text}, ${text}, 'Microsoft\\.Resources/deployments', format\\('(\\w+)-\\{0\\}', uniqueString\\((?:[^()]|\\([^()]*(?:\\([^()]*(?:\\([^()]*\\)[^()]*)*\\)[^()]*)*\\))*\\)\\)\\)`;

const rules: readonly (readonly [RegExp, (...parts: string[]) => string])[] = [
  [
    new RegExp(`reference\\(${deployment}, '[\\d-]+'\\)\\.outputs\\.(\\w+)\\.value`, "g"),
    (_all, _subscription, _group, module, output) => `'${module}.${output}'`,
  ],
  [
    new RegExp(`tryGet\\(reference\\(${deployment}, '[\\d-]+'\\), 'outputs', '(\\w+)', 'value'\\)`, "g"),
    (_all, _subscription, _group, module, output) => `'${module}.${output}'`,
  ],
  [new RegExp(`coalesce\\(${text}, ''\\)`, "g"), (_all, value) => `'${value}'`],
  [new RegExp(`uniqueString\\(${text}\\)`, "g"), (_all, seed) => `'<${seed}>'`],
  [
    new RegExp(`format\\(${text}((?:, '[^']*')+)\\)`, "g"),
    (_all, template = "", values = "") =>
      `'${template.replace(/\{(\d)\}/g, (_, index) => literals(values)[index] ?? "")}'`,
  ],
  [
    new RegExp(`resourceId\\(${text}, ${text}, ${text}((?:, '[^']*')+)\\)`, "g"),
    (_all, subscription, group, type = "", names = "") => {
      const [provider, ...kinds] = type.split("/");
      const path = kinds.map((kind, index) => `${kind}/${literals(names)[index]}`).join("/");
      return `'/subscriptions/${subscription}/resourceGroups/${group}/providers/${provider}/${path}'`;
    },
  ],
  [
    /filter\(split\('([^']*)', '\/'\), lambda\('x', not\(empty\(lambdaVariables\('x'\)\)\)\)\)\[(\d)\]/g,
    (_all, path = "", index) => `'${path.split("/")[Number(index)]}'`,
  ],
];

/**
 * Replaces each output of a module by `'MODULE.OUTPUT'`, then evaluates format, resourceId and similar functions whose
 * arguments are all literals. An expression that is only a literal afterwards loses its brackets.
 */
export function shorten(expression: string): string {
  const shorter = rules.reduce((all, [pattern, replace]) => all.replace(pattern, replace), expression);
  return shorter === expression ? expression.replace(/^\['([^']*)'\]$/, "$1") : shorten(shorter);
}

function literals(values: string): string[] {
  return [...values.matchAll(/'([^']*)'/g)].map(([, value = ""]) => value);
}
