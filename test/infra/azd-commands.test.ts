// Compares every azd command on the pages, in the hooks and in the workflow with the commands that azd has.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

/**
 * The commands of azd that this repository uses: the numbers of arguments, and the flags besides those that every
 * command has. From azd 1.31.2, cli/azd/cmd and cli/azd/internal/cmd:
 * https://github.com/Azure/azure-dev/tree/cli/azd/v1.31.2/cli/azd
 */
const known: Readonly<Record<string, { readonly arguments: readonly number[]; readonly flags?: readonly string[] }>> = {
  "auth login": { arguments: [0], flags: ["client-id", "tenant-id", "federated-credential-provider"] },
  "auth token": { arguments: [0], flags: ["scope"] },
  deploy: { arguments: [0, 1], flags: ["environment", "from-package"] },
  down: { arguments: [0, 1], flags: ["environment", "force", "purge"] },
  "env get-value": { arguments: [1], flags: ["environment"] },
  "env new": { arguments: [1], flags: ["location", "subscription"] },
  "env refresh": { arguments: [0, 1], flags: ["environment"] },
  "env set": { arguments: [2], flags: ["environment", "file"] },
  "env set-secret": { arguments: [1], flags: ["environment"] },
  monitor: { arguments: [0], flags: ["environment", "live", "logs", "overview"] },
  "pipeline config": { arguments: [0], flags: ["environment"] },
  provision: { arguments: [0, 1], flags: ["environment", "preview"] },
  up: { arguments: [0], flags: ["environment"] },
};
const everywhere = ["cwd", "debug", "no-prompt"];
const switches = ["debug", "force", "live", "logs", "no-prompt", "overview", "preview", "purge"];

/** Returns what is wrong with a command line, or undefined. */
function judge(line: string): string | undefined {
  const words = [...line.matchAll(/(?:"(?:\\.|[^"])*"|\S)+/g)].map(([word]) => word).slice(1);
  const name = Object.keys(known).find((command) => `${words.join(" ")} `.startsWith(`${command} `));
  if (!name) return "unknown command";
  const { arguments: counts = [], flags = [] } = known[name] ?? {};
  let count = 0;
  for (let index = name.split(" ").length; index < words.length; index++) {
    const flag = /^--(.+)/.exec(words[index] ?? "")?.[1];
    if (flag === undefined) count++;
    else if (![...flags, ...everywhere].includes(flag)) return `unknown flag --${flag}`;
    else if (!switches.includes(flag)) index++;
  }
  // A page may name a command without its arguments, such as `azd env set`.
  return count === 0 || counts.includes(count) ? undefined : `${count} arguments`;
}

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root })
  .toString()
  .split("\n")
  .filter((file) => /\.md$|^infra\/azd\/|azure\.yaml$|azure-dev\.yml$/.test(file) && existsSync(join(root, file)));

/** The commands in inline code of a page, and in the lines of its shell blocks, of scripts and of YAML files. */
function readCommands(file: string): string[] {
  const isPage = file.endsWith(".md");
  const text = readFileSync(join(root, file), "utf8");
  const code = isPage ? readBlocks(file).map(({ command }) => command) : [text];
  const lines = code.join("\n").replaceAll(/ *\\\n */g, " ");
  return [...text.matchAll(/`(azd [^`]+)`/g), ...lines.matchAll(/(?:^ *|\$\(|run: |&& )(azd [a-z][^`\n)]*)/gm)].map(
    ([, command = ""]) => command.trim(),
  );
}

describe("azd commands", () => {
  const used = files.flatMap((file) => readCommands(file).map((command) => [command, file] as const));

  test("are found on the page, in a hook and in the workflow", () => {
    for (const [command, file] of [
      ["azd up --cwd infra/azd/aks", "README.md"],
      ["azd deploy welcome --from-package IMAGE", "docs/deploy/azd.md"],
      ["azd auth token --scope https://management.azure.com/.default", "infra/azd/aks/register-policy.sh"],
      ['azd up --no-prompt --cwd "$AZD_FOLDER"', ".github/workflows/azure-dev.yml"],
    ])
      expect(used).toContainEqual([command, file]);
  });

  test.each(used)("%s in %s is a command of azd, with flags and arguments that it takes", (command) => {
    expect(judge(command)).toBeUndefined();
  });

  test.each([
    ["azd env unset LIVE", "unknown command"], // only `azd env config unset` exists
    ["azd deploy --service welcome", "unknown flag --service"], // hidden and deprecated
    ["azd deploy welcome state-api", "2 arguments"],
    ["azd env set LIVE", "1 arguments"],
    ["azd provision --what-if", "unknown flag --what-if"],
  ])("%s is refused: %s", (command, reason) => {
    expect(judge(command)).toBe(reason);
  });
});
