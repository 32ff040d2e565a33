// Parses every az command in pages, comments and scripts with the parser of the Azure CLI.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { listCommands, parseCommands } from "../support/az.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root })
  .toString()
  .split("\0");

/** A page whose table has retired commands in its first column. */
const history = "docs/walkthroughs.md";

function readRetired(text: string): string[] {
  const [section = ""] = text.split("\n## Commands that az rejects today\n")[1]?.split("\n## ") ?? [];
  return [...section.matchAll(/^\| `(az [^`]+)`/gm)].map(([, command = ""]) => command);
}

test("every az command in the shell blocks of the pages is valid", { timeout: 60_000 }, async () => {
  const commands = files
    .filter((file) => file.endsWith(".md"))
    .flatMap((file) =>
      listCommands(
        readBlocks(file)
          .map(({ command }) => command)
          .join("\n"),
      ),
    );
  expect(commands.length).toBeGreaterThan(30);
  expect(await listErrors(commands)).toEqual([]);
});

test("every az command in the inline code of the pages is valid", async () => {
  const commands = files
    .filter((file) => file.endsWith(".md"))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8");
      const retired = file === history ? readRetired(text) : [];
      const current = retired.reduce((rest, command) => rest.replace(`| \`${command}\` `, ""), text);
      return current.match(/(?<=`)az [^`]*--[^`]+(?=`)/g) ?? [];
    })
    .flatMap(listCommands);
  expect(commands.length).toBeGreaterThan(10);
  expect(await listErrors(commands)).toEqual([]);
});

test("az rejects or deprecates each command of the walkthroughs that the page says it does", async () => {
  const retired = readRetired(readFileSync(join(root, history), "utf8"));
  expect(retired.length).toBeGreaterThan(10);
  const errors = await parseCommands(retired.flatMap(listCommands));
  expect(retired.filter((_, index) => errors[index]?.length === 0)).toEqual([]);
});

test("every az command in comments, hooks and workflows is valid", async () => {
  const lines = files
    .filter((file) => /^(azure\.yaml|(components|infra|\.github)\/.*\.(ya?ml|bicep|bicepparam))$/.test(file))
    .flatMap((file) => {
      const text = readFileSync(join(root, file), "utf8");
      const inComments = text.match(/(?<=^\s*(?:#|\/\/)\s+)az .+$/gm) ?? [];
      const inScripts = text.match(/(?<=^\s*(?:run: )?(?:sudo |if ! )?)az [^#;|&>\n]+/gm) ?? [];
      return [...inComments, ...inScripts];
    });
  expect(lines.length).toBeGreaterThan(2);
  expect(await listErrors(lines.flatMap(listCommands))).toEqual([]);
});

test("the commands of pod identity, which docs/operate/pod-identity.md shows as text, are not part of the Azure CLI", async () => {
  const page = readFileSync(join(root, "docs/operate/pod-identity.md"), "utf8");
  const texts = [...page.matchAll(/```text\n(.*?)```/gs)].flatMap(([, text = ""]) => listCommands(text));
  const [ofExtension, ofCli] = [true, false].map((wanted) =>
    texts.filter((command) => /pod-identity/.test(command.join(" ")) === wanted),
  );
  expect(await listErrors(ofCli ?? [])).toEqual([]);
  const errors = await parseCommands(ofExtension ?? []);
  expect(errors.length).toBeGreaterThan(3);
  for (const messages of errors)
    expect(messages.join()).toMatch(
      /'pod-identity' is misspelled|unrecognized arguments: --(enable|disable)-pod-identity/,
    );
  // https://learn.microsoft.com/cli/azure/aks/pod-identity
  const shared = ["--resource-group", "--cluster-name", "--namespace", "--name"];
  const options: Record<string, string[]> = {
    "pod-identity add": [...shared, "--identity-resource-id", "--binding-selector"],
    "pod-identity delete": shared,
    "exception add": [...shared, "--pod-labels"],
  };
  const groups = (ofExtension ?? []).filter(([, group]) => group === "pod-identity");
  expect(groups.map((command) => command.filter((word) => word.startsWith("--")))).toEqual(
    groups.map(
      (command) =>
        options[
          command
            .slice(1)
            .join(" ")
            .match(/(\S+ \S+) --/)?.[1] ?? ""
        ],
    ),
  );
});

test("removed, deprecated and misspelled commands are reported", async () => {
  const invalid = [
    "az containerapp update -g g -n a --environment-variables WELCOME=hi",
    "az containerapp ingress traffic set -g g -n a --traffic-weight latest=100",
    "az aks create -g g -n c --enable-pod-identity",
    "az role assignment create --role Reader --assignee someone",
    "az monitor log-analytics query -w w --analytics-query q",
    "az containerapp nothing",
  ];
  expect(await parseCommands(invalid.flatMap(listCommands))).toEqual([
    [expect.stringMatching(/unrecognized arguments: --environment-variables/)],
    [expect.stringMatching(/'--traffic-weight' has been deprecated/)],
    [expect.stringMatching(/unrecognized arguments: --enable-pod-identity/)],
    [expect.stringMatching(/required: --scope/)],
    [expect.stringMatching(/'query' is misspelled or not recognized/)],
    [expect.stringMatching(/'nothing' is misspelled or not recognized/)],
  ]);
});

async function listErrors(commands: string[][]): Promise<string[]> {
  const errors = await parseCommands(commands);
  return commands.flatMap((command, index) =>
    (errors[index] ?? []).map((error) => `az ${command.join(" ")}: ${error}`),
  );
}
