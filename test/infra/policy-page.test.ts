// The assignments in docs/operate/policy.md against facts about the built-in definitions. az-lines.test.ts parses their
// commands with the parser of the Azure CLI.
import { expect, test } from "vitest";
import { listCommands } from "../support/az.ts";
import { listAssignmentErrors } from "../support/built-in-policies.ts";
import { readBlocks } from "../support/markdown.ts";

const page = readBlocks("docs/operate/policy.md").map(({ command }) => command);
const commands = listCommands(page.join("\n")).filter(
  ([group, command]) => group === "policy" && command === "assignment",
);

/** The value of an option of a command. */
const option = (command: readonly string[], name: string) => command[command.indexOf(name) + 1] ?? "";
const created = commands.filter(([, , verb]) => verb === "create");

test.for(created.map((command) => [command.slice(3).join(" "), command] as const))(
  "az policy assignment create %s: the built-in exists and accepts the parameters",
  ([, command]) => {
    const isSet = command.includes("--policy-set-definition");
    const id = option(command, isSet ? "--policy-set-definition" : "--policy");
    const parameters = JSON.parse(option(command, "--params"));
    expect(listAssignmentErrors(isSet ? "policySetDefinitions" : "policyDefinitions", id, parameters)).toEqual([]);
  },
);

test("a misspelled parameter, a list that is text, a label of an initiative and a wrong kind are reported", () => {
  const policy = "95edb821-ddaf-4404-9732-666045e056b4";
  const initiative = "a8640138-9b0a-4a28-b8cb-1666c838647d";
  const labelSelector = { value: { matchLabels: { tier: "web" } } };
  expect(listAssignmentErrors("policyDefinitions", policy, { namespace: { value: ["a"] } })).toHaveLength(1);
  expect(listAssignmentErrors("policyDefinitions", policy, { namespaces: { value: "a" } })).toHaveLength(1);
  expect(listAssignmentErrors("policyDefinitions", policy, { effect: { value: "dryrun" } })).toHaveLength(1);
  expect(listAssignmentErrors("policyDefinitions", policy, { labelSelector })).toEqual([]);
  expect(listAssignmentErrors("policySetDefinitions", initiative, { labelSelector })).toHaveLength(1);
  expect(listAssignmentErrors("policyDefinitions", initiative, {})).toHaveLength(1);
});

test("the page assigns with namespaces, labels and exemptions, and an initiative, and its clean-up deletes each", () => {
  const selected = new Set(created.flatMap((command) => Object.keys(JSON.parse(option(command, "--params")))));
  expect(selected).toEqual(new Set(["effect", "namespaces", "labelSelector", "excludedNamespaces"]));
  expect(created.filter((command) => command.includes("--policy-set-definition"))).toHaveLength(1);
  const names = (verb: string) =>
    new Set(commands.filter((command) => command[2] === verb).map((command) => option(command, "--name")));
  expect(names("delete")).toEqual(names("create"));
});
