// Checks the commands of the Kubernetes pages and of the feature READMEs without a cluster, an image or an Azure
// subscription.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, globSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { openapi as groupLister } from "../../services/group-lister/openapi.ts";
import { openapi as welcome } from "../../services/welcome/openapi.ts";
import { loadKeys } from "../../stand-ins/azure/certificate.ts";
import { buildTimeout, findSource, findTools } from "../support/kubernetes-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";

const pages = [
  "docs/deploy/kubernetes.md",
  "docs/operate/blue-green.md",
  "docs/operate/key-vault.md",
  "docs/operate/policy.md",
  "docs/operate/workload-identity.md",
  ...globSync("infra/kubernetes/features/*/README.md", { cwd: root }).sort(),
];
/** The commands of a program, each with its page. Continued lines are joined, and commands in pipes are included. */
const commands = (program: string) =>
  pages.flatMap((page) =>
    readBlocks(page)
      .flatMap(({ command }) => command.replaceAll(/\\\n\s*/g, "").split(/\n|\|\s/))
      .map((command) => command.trim())
      .filter((command) => command.startsWith(`${program} `))
      .map((command) => [page, command] as const),
  );
/** kubectl commands in the text of any page, each with its page. A command without arguments is only a name. */
const inlineCommands = globSync(["*.md", "docs/**/*.md"], { cwd: root }).flatMap((page) => {
  const text = readFileSync(join(root, page), "utf8").replaceAll(/```.*?```/gs, "");
  return [...text.matchAll(/`([^`]+)`/g)]
    .map(([, code = ""]) => code.replaceAll(/\s+/g, " "))
    .filter((code) => /^kubectl \S+ \S/.test(code))
    .map((command) => [page, command] as const);
});

let path: string;
let dapr: string;

beforeAll(async () => {
  path = [await findTools("cluster"), await findTools("rollouts"), process.env.PATH].join(delimiter);
  dapr = await findSource("dapr", "github.com/dapr/dapr");
}, buildTimeout);

/** kubectl's error when the API server is unreachable. */
const connectionRefused = /connect: connection refused|connection to the server .* was refused/;

const folder = mkdtempSync(join(tmpdir(), "pages-test-"));
const kubeconfig = join(folder, "kubeconfig");
writeFileSync(
  kubeconfig,
  stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "unreachable", cluster: { server: "http://127.0.0.1:1" } }],
    contexts: [{ name: "unreachable", context: { cluster: "unreachable" } }],
    "current-context": "unreachable",
  }),
);
symlinkSync(join(root, "infra"), join(folder, "infra"));
writeFileSync(join(folder, ".env"), "AZURE_TENANT_ID=tenant\n");
const { cert, key } = await loadKeys(join(folder, "keys"));
writeFileSync(join(folder, "tls.crt"), cert);
writeFileSync(join(folder, "tls.key"), key);
afterAll(() => rmSync(folder, { recursive: true }));

/**
 * Runs a command and resolves with its stderr. Ends it when it reports the unreachable cluster, because some commands
 * retry forever.
 */
async function readErrors(command: string): Promise<string> {
  const env = { ...process.env, PATH: path, KUBECONFIG: kubeconfig };
  const child = spawn("bash", ["-c", `exec ${command} <<< input`], { cwd: folder, env });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
    if (connectionRefused.test(errors)) child.kill();
  });
  await once(child, "close");
  return errors;
}

test("the text of the pages has kubectl commands, which the next test parses with those of the blocks", () => {
  expect(inlineCommands.length).toBeGreaterThan(5);
});

test.concurrent.each([...commands("kubectl"), ...inlineCommands])(
  "%s: kubectl accepts %s and tries to reach the cluster",
  async (_page, command) => {
    // kubectl contacts the cluster only after it has parsed the command and built its files.
    expect(await readErrors(command)).toMatch(connectionRefused);
  },
);

test("kubectl rejects wrong subcommands, flags and files before it tries to reach the cluster", async () => {
  for (const command of [
    "kubectl apply -k infra/kubernetes/overlays/azure",
    "kubectl port-forward service/welcome 8082:80 --name-space dapr-samples",
    "kubectl argo rollouts promot dev-superapi-geba",
    "kubectl rollout reboot deployment/welcome",
  ]) {
    expect(await readErrors(command), command).not.toMatch(connectionRefused);
  }
});

test.each(commands("helm upgrade"))(
  "%s: the chart of the pinned Dapr version has the settings of %s",
  (_page, command) => {
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
  },
);

test.each(commands("helm uninstall"))("%s: %s names the release and the namespace of helm upgrade", (page, command) => {
  const [, release, namespace] = /^helm uninstall (\S+) --namespace (\S+)$/.exec(command) ?? [];
  const installed = commands("helm upgrade").filter(([other]) => other === page);
  expect(installed).toHaveLength(1);
  for (const [, install] of installed) {
    expect(install).toContain(`helm upgrade --install ${release} `);
    expect(install).toContain(` --namespace ${namespace} `);
  }
});

test.each(commands("curl"))("%s: %s requests a route of the service", (_page, command) => {
  const [, origin = "", route = ""] = /(https?:\/\/[^/]+)(\/\S*)/.exec(command) ?? [];
  const services: Record<string, { paths: object }> = {
    "http://127.0.0.1:8081": groupLister,
    "http://127.0.0.1:8082": welcome,
    "https://WELCOME_HOST": welcome,
  };
  const { paths } = services[origin] ?? { paths: {} };
  const routes = Object.keys(paths).map((template) => new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`));
  expect(routes.some((template) => template.test(route))).toBe(true);
});
