// No command of the pages, the workflows and the hooks has a secret among its arguments: other users of the machine can
// list the arguments of a process, and not its environment, files and input.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const name = String.raw`[\w.-]*(?:secret|password|passwd|token|credential|connection-?string|account-?key|api-?key)[\w.-]*`;
/** Arguments with a secret. Options that name a secret, a file or an environment variable have no secret. */
const forbidden = [
  String.raw`^az keyvault secret set\b.* --value[= ]`,
  " --from-literal[= ]",
  " --(?:[a-z]+-)*(?:password|client-secret|secrets?|token|account-key|connection-string|protected-settings)[= ](?![\"']?@)",
  String.raw` (?:-p|--set|--set-string|--parameters|-e|--env|--set-env-vars|--env-vars|--build-arg)[= ](?:\S+ )*["']?${name}=(?!secretref:|@|["']?$)`,
  String.raw`^(?:azd env set|gh variable set|npm config set) ["']?${name}[= ]\S`,
  String.raw`^gh secret set\b.* (?:--body|-b)[= ]`,
  String.raw`^(?:curl|wget)\b.* (?:-u|--user)[= ]\S+:\S`,
  String.raw`^docker login\b.* -p `,
].map((pattern) => new RegExp(pattern, "i"));

/** The commands of a script: continued lines are joined, pipes and loops are split. */
const split = (script: string) =>
  script
    .replaceAll(/\\\n\s*/g, "")
    .split(/\n|\|\|?|&&|;/)
    .map((command) => command.trim().replace(/^(?:run: |(?:sudo|do|then|until|while|if|!|export|\$) )+/, ""));
const hasSecret = (command: string) => forbidden.some((pattern) => pattern.test(command));

const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard"], { cwd: root })
  .toString()
  .split("\n");
const read = (file: string) => readFileSync(join(root, file), "utf8");
const pages = files.filter((file) => file.endsWith(".md"));
const scripts = files.filter((file) => /^\.github\/workflows\/|^infra\/azd\/.*\.(sh|yaml)$/.test(file));

describe("secrets as arguments", () => {
  test.each(pages)("no command of %s has one", (page) => {
    const blocks = readBlocks(page).flatMap(({ command }) => split(command));
    const inline = [
      ...read(page)
        .replaceAll(/^ *```.*?^ *```$/gms, "")
        .matchAll(/`([^`]+)`/g),
    ];
    expect([...blocks, ...inline.flatMap(([, code = ""]) => split(code))].filter(hasSecret)).toEqual([]);
  });

  test.each(scripts)("no command of %s has one", (file) => {
    expect(split(read(file)).filter(hasSecret)).toEqual([]);
  });

  test.each([
    "az keyvault secret set --vault-name v --name demosecret --value demovalue",
    "until az keyvault secret set --vault-name v --name demosecret --value demovalue; do sleep 15; done",
    "az deployment sub create --parameters main.bicepparam demoSecret=demovalue",
    "az containerapp update --name a --set-env-vars API_TOKEN=value",
    "az containerapp secret set --name a --secrets key=value",
    "az login --service-principal --username u --password p",
    'az storage blob list --account-key "$KEY"',
    "azd env set DEMO_SECRET demovalue",
    "gh secret set DEMO_SECRET --env azure --body demovalue",
    "kubectl create secret generic app --from-literal=token=value",
    "helm install a b --set adminPassword=value",
    "docker run -e DB_PASSWORD=value image",
    "docker login registry -u user -p password",
    "curl -u user:password https://example.com",
  ])("%s is reported", (command) => {
    expect(split(command).filter(hasSecret)).toHaveLength(1);
  });

  test.each([
    'printf %s "$DEMO_SECRET" | az keyvault secret set --vault-name v --name demosecret --file /dev/stdin',
    "export AZURE_ENV_NAME=a DEMO_SECRET=demovalue",
    "azd env set --file secret.env",
    "gh secret set DEMO_SECRET --env azure",
    "az keyvault secret show --vault-name v --name demosecret",
    "az aks update --enable-secret-rotation --rotation-poll-interval 2m",
    "kubectl create secret generic cosmos --from-file=key=/dev/stdin",
    "docker run -e DB_PASSWORD image",
    'az login --service-principal --username u --federated-token "@$AZURE_FEDERATED_TOKEN_FILE"',
    "az containerapp update --name a --set-env-vars API_TOKEN=secretref:token",
  ])("%s is not reported", (command) => {
    expect(split(command).filter(hasSecret)).toEqual([]);
  });
});
