// The commands of the Kubernetes pages, as far as they can be judged without a cluster, an image and an Azure subscription.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { openapi as groupLister } from "../../services/group-lister/openapi.ts";
import { openapi as welcome } from "../../services/welcome/openapi.ts";
import { buildTimeout, findSource, findTools } from "../support/kubernetes-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const pages = [
  "docs/deploy/kubernetes.md",
  ...["blue-green", "workload-identity", "key-vault", "policy"].map((name) => `docs/operate/${name}.md`),
  ...readdirSync(join(root, "infra/kubernetes/features")).map((name) => `infra/kubernetes/features/${name}/README.md`),
];
/** The commands that start with a word, whole: over several lines, and at the end of a pipe. */
const commands = (program: string) =>
  pages.flatMap((page) =>
    readBlocks(page)
      .flatMap(({ command }) => command.replaceAll(/\\\n\s*/g, "").split(/\n|\|\s/))
      .map((command) => command.trim())
      .filter((command) => command.startsWith(`${program} `))
      .map((command) => [page, command] as const),
  );

let path: string;
let dapr: string;

beforeAll(async () => {
  path = [await findTools("cluster"), await findTools("rollouts"), process.env.PATH].join(delimiter);
  dapr = await findSource("dapr", "github.com/dapr/dapr");
}, buildTimeout);

/** How a cluster that is not there answers. */
const refused = /connect: connection refused|connection to the server .* was refused/;

const nowhere = { clusters: [{ name: "nowhere", cluster: { server: "http://127.0.0.1:1" } }] };
const contexts = { contexts: [{ name: "nowhere", context: { cluster: "nowhere" } }], "current-context": "nowhere" };
const folder = mkdtempSync(join(tmpdir(), "pages-test-"));
const kubeconfig = join(folder, "kubeconfig");
writeFileSync(kubeconfig, stringify({ apiVersion: "v1", kind: "Config", ...nowhere, ...contexts }));
symlinkSync(join(root, "infra"), join(folder, "infra"));
writeFileSync(join(folder, ".env"), "AZURE_TENANT_ID=tenant\n");
afterAll(() => rmSync(folder, { recursive: true }));

/** What a command says that has nobody to ask; it is ended then, for some would go on asking. */
async function ask(command: string): Promise<string> {
  const env = { ...process.env, PATH: path, KUBECONFIG: kubeconfig };
  const child = spawn("bash", ["-c", `exec ${command} <<< input`], { cwd: folder, env });
  let said = "";
  child.stderr.on("data", (chunk) => {
    said += chunk;
    if (refused.test(said)) child.kill();
  });
  await once(child, "close");
  return said;
}

test.concurrent.each(commands("kubectl"))("%s: %s", async (_page, command) => {
  // Only a command that kubectl understands, with files that are there and build, gets as far as the cluster.
  expect(await ask(command)).toMatch(refused);
});

test("a command that kubectl does not understand, or with a file that is not there, says so", async () => {
  for (const command of [
    "kubectl apply -k infra/kubernetes/overlays/azure",
    "kubectl port-forward service/welcome 8082:80 --name-space dapr-samples",
    "kubectl argo rollouts promot dev-superapi-geba",
    "kubectl rollout reboot deployment/welcome",
  ]) {
    expect(await ask(command), command).not.toMatch(refused);
  }
});

test.each(commands("helm"))("%s: the version and the settings of %s are the chart's", (_page, command) => {
  const values = parse(readFileSync(join(dapr, "charts/dapr/values.yaml"), "utf8"));
  const module = readFileSync(join(root, "tools/daprd/module/go.mod"), "utf8");
  expect(module).toContain(`github.com/dapr/dapr v${/--version (\S+)/.exec(command)?.[1]}\n`);
  const settings = [...command.matchAll(/--set (\S+)=/g)].map(([, name = ""]) => name.split("."));
  expect(settings).not.toEqual([]);
  for (const [chart = "", ...name] of settings) {
    const file = join(dapr, "charts/dapr/charts", chart, "values.yaml");
    const known = existsSync(file) ? parse(readFileSync(file, "utf8")) : values[chart];
    expect(known, command).toHaveProperty(name);
  }
});

test.each(commands("curl"))("%s: %s asks for a route that the service has", (_page, command) => {
  const [, port = "", route = ""] = /http:\/\/127\.0\.0\.1:(\d+)(\/\S*)/.exec(command) ?? [];
  const { paths } = { 8081: groupLister, 8082: welcome }[port] ?? { paths: {} };
  const routes = Object.keys(paths).map((template) => new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`));
  expect(routes.some((template) => template.test(route))).toBe(true);
});
