// Facts about built-in definitions of Azure Policy, from https://github.com/Azure/azure-policy at commit f4a50ba.

interface BuiltIn {
  readonly kind: "policyDefinitions" | "policySetDefinitions";
  /** The parameters that the suite and its pages set, with the values that the definition accepts. */
  readonly parameters: Readonly<Record<string, (value: unknown) => boolean>>;
}

const isListOfText = (value: unknown) => Array.isArray(value) && value.every((item) => typeof item === "string");
const effects: unknown[] = ["audit", "Audit", "deny", "Deny", "disabled", "Disabled"];
const common = {
  effect: (value: unknown) => effects.includes(value),
  namespaces: isListOfText,
  excludedNamespaces: isListOfText,
};

/** Default of the parameter excludedNamespaces. */
export const exemptNamespaces = ["kube-system", "gatekeeper-system", "azure-arc", "azure-extensions-usage-system"];

/** By the UUID of the definition or initiative. */
const builtInPolicies: Readonly<Record<string, BuiltIn>> = {
  // built-in-policies/policyDefinitions/Kubernetes/ContainerNoPrivilege.json, version 9.2.0
  "95edb821-ddaf-4404-9732-666045e056b4": {
    kind: "policyDefinitions",
    parameters: {
      ...common,
      // Only matchLabels of the schema; it needs at least one label.
      labelSelector(value) {
        const { matchLabels, ...rest } = Object(value);
        const labels = Object.values(Object(matchLabels));
        return Object.keys(rest).length === 0 && labels.length > 0 && isListOfText(labels);
      },
    },
  },
  // built-in-policies/policySetDefinitions/Kubernetes/PSPBaselineStandard.json, version 1.4.0
  "a8640138-9b0a-4a28-b8cb-1666c838647d": { kind: "policySetDefinitions", parameters: common },
};

/** What Azure Policy would reject in an assignment: an unknown id or parameter, or a value that is not accepted. */
export function listAssignmentErrors(kind: BuiltIn["kind"], id: string, parameters: object): string[] {
  const definition = builtInPolicies[id];
  if (definition?.kind !== kind) return [`${kind} has no ${id}`];
  return Object.entries(parameters)
    .filter(([name, { value }]) => definition.parameters[name]?.(value) !== true)
    .map(([name, { value }]) => `${id} does not accept ${name}: ${JSON.stringify(value)}`);
}
