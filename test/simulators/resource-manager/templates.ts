// Creates the resources of an ARM template with symbolic names, in the order of their dependencies.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/resource-dependency
import { type Clock, durationOf } from "./clock.ts";
import { type Context, createContext, type Deployment } from "./context.ts";
import type { Json } from "./json.ts";
import { checkNames, placeOf } from "./names.ts";
import type { Store } from "./store.ts";

/** What a deployment runs against. */
export interface Target {
  readonly store: Store;
  readonly clock: Clock;
  readonly tenantId: string;
  /** Creates a resource or a resource group, as its PUT does. @throws ArmFault */
  create(id: string, body: Json): void;
}

interface Definition extends Json {
  readonly type: string;
  readonly condition?: unknown;
  readonly existing?: boolean;
  readonly copy?: { readonly count: unknown };
  readonly dependsOn?: readonly string[];
}

/** A resource of the template; each item of a loop is one. */
interface Step {
  readonly symbol: string;
  /** The symbol without the index. */
  readonly loop: string;
  readonly index: number | undefined;
  readonly definition: Definition;
  readonly dependencies: readonly unknown[];
}

export type Outputs = Readonly<Record<string, { readonly type: string; readonly value: unknown }>>;

/**
 * Creates all resources, and moves the clock to the end of the last one. Steps that wait for nothing start at the same
 * time, as on Azure. The last of them runs first, so that a dependency that only the order in the file meets is missed.
 */
export function deploy(deployment: Deployment, target: Target): Outputs {
  const { clock } = target;
  const context = createContext(deployment, target.tenantId, target.store.find);
  const waiting = listSteps(deployment.template, context);
  const start = clock.now;
  const ended: { step: Step; at: number }[] = [];
  const waitsFor = (step: Step, other: Step) =>
    step.dependencies.includes(other.symbol) || step.dependencies.includes(other.loop);

  while (waiting.length > 0) {
    const ready = waiting.filter((step) => !waiting.some((other) => waitsFor(step, other)));
    const startable = ready.map((step) => ({
      step,
      at: Math.max(start, ...ended.filter((other) => waitsFor(step, other.step)).map(({ at }) => at)),
    }));
    const [next] = startable.reverse().sort((a, b) => a.at - b.at);
    if (!next) throw new Error(`Circular dependency detected: ${waiting.map(({ symbol }) => symbol)}.`);
    waiting.splice(waiting.indexOf(next.step), 1);
    clock.now = next.at;
    run(next.step, deployment, context, target);
    ended.push({ step: next.step, at: clock.now });
  }
  clock.now = Math.max(start, ...ended.map(({ at }) => at));
  const outputs = Object.entries((deployment.template.outputs ?? {}) as Record<string, Json>);
  return Object.fromEntries(
    outputs.map(([name, { type, value }]) => [name, { type: String(type ?? "string"), value: context.resolve(value) }]),
  );
}

function listSteps(template: Json, { resolve }: Context): Step[] {
  const definitions = Object.entries((template.resources ?? {}) as Record<string, Definition>);
  return definitions.flatMap(([loop, definition]) => {
    const count = definition.copy ? Number(resolve(definition.copy.count)) : 1;
    return Array.from({ length: count }, (_, item) => {
      const index = definition.copy ? item : undefined;
      const symbol = definition.copy ? `${loop}[${item}]` : loop;
      return { symbol, loop, index, definition, dependencies: resolve(definition.dependsOn ?? [], index) as unknown[] };
    });
  });
}

/** Creates the resource of a step, unless its condition is false or it exists already. */
function run({ symbol, index, definition }: Step, deployment: Deployment, context: Context, target: Target): void {
  const { type, condition = true, existing, properties, ...more } = definition;
  const { copy: _copy, dependsOn: _dependsOn, apiVersion: _version, ...rest } = more;
  if (!context.resolve(condition, index)) {
    checkNames(context.resolve(placeOf(definition), index) as Json);
    return;
  }
  const { name, scope, resourceGroup, subscriptionId, ...body } = context.resolve(rest, index) as Json;
  const id = context.locate({ type, name, scope, resourceGroup, subscriptionId });
  context.ids.set(symbol, id);
  if (existing) return;
  if (type.toLowerCase() !== "microsoft.resources/deployments") {
    target.create(id, { ...body, properties: context.resolve(properties, index) });
    target.clock.now += durationOf(type);
    return;
  }
  // A module evaluates its template by itself, with its own parameters and variables.
  const { template, parameters } = properties as { template: Json; parameters?: Json };
  const given = context.resolve(parameters ?? {}, index) as Json;
  const outputs = deploy({ id, location: deployment.location, template, parameters: given }, target);
  target.store.put(id, { properties: { mode: "Incremental", outputs } });
}
