// Checks the commands of the Kubernetes pages and of the feature READMEs without a cluster, an image or an Azure
// subscription.
import { execFile } from "node:child_process";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  globSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { parse, stringify } from "yaml";
import { openapi as groupLister } from "../../services/group-lister/openapi.ts";
import { openapi as welcome } from "../../services/welcome/openapi.ts";
import { loadKeys } from "../../stand-ins/azure/certificate.ts";
import { spawn } from "../../tools/processes/spawn.ts";
import { at } from "../support/at.ts";
import { buildTimeout, findSource, findTools } from "../support/go-tools.ts";
import { readBlocks } from "../support/markdown.ts";
import { root } from "../support/processes.ts";
import { build } from "./kustomize.ts";

const pages = [
  "docs/deploy/kubernetes.md",
  "docs/operate/blue-green.md",
  "docs/operate/key-vault.md",
  "docs/operate/pod-identity.md",
  "docs/operate/policy.md",
  "docs/operate/private-dns.md",
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
let rollouts: string;

beforeAll(async () => {
  path = [await findTools("cluster"), await findTools("rollouts"), process.env.PATH].join(delimiter);
  dapr = await findSource("dapr", "github.com/dapr/dapr");
  rollouts = await findSource("rollouts", "github.com/argoproj/argo-rollouts");
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
const { cert, key } = await loadKeys(join(folder, "keys"));
writeFileSync(join(folder, "tls.crt"), cert);
writeFileSync(join(folder, "tls.key"), key);
afterAll(() => rmSync(folder, { recursive: true }));

/** An object for commands that read their manifest from standard input; the others accept any text. */
const manifest = '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "input"}}';

/**
 * Runs a command and resolves with its stderr. Ends it when it reports the unreachable cluster, because some commands
 * retry forever.
 */
async function readErrors(command: string): Promise<string> {
  const env = { ...process.env, PATH: path, KUBECONFIG: kubeconfig };
  const input = command.endsWith(" -f -") ? manifest : "input";
  const child = spawn("bash", ["-c", `exec ${command} <<< '${input}'`], { cwd: folder, env });
  let errors = "";
  child.stderr.on("data", (chunk) => {
    errors += chunk;
    if (connectionRefused.test(errors)) child.kill();
  });
  await once(child, "close");
  return errors;
}

test("every page of docs/operate with kubectl in a shell block is in the list, but wasm.md, which cluster/wasm.ts runs", () => {
  const withKubectl = globSync("docs/operate/*.md", { cwd: root }).filter((page) =>
    readBlocks(page).some(({ command }) => /^kubectl /m.test(command)),
  );
  expect(withKubectl.filter((page) => !pages.includes(page))).toEqual(["docs/operate/wasm.md"]);
});

test("the text of the pages has kubectl commands, which the next test parses with those of the blocks", () => {
  expect(inlineCommands.length).toBeGreaterThan(5);
});

// These do not contact the cluster at once. The test of the AKS overlay and the cluster tests run them.
const isLocal = (command: string) => /^kubectl (kustomize|argo rollouts (version|dashboard)) ?/.test(command);
const withCluster = commands("kubectl").filter(([, command]) => !isLocal(command));
const releases = "https://github.com/argoproj/argo-rollouts/releases/download/";

test.concurrent.each([...withCluster, ...inlineCommands])(
  "%s: kubectl accepts %s and tries to reach the cluster",
  async (_page, command) => {
    // kubectl contacts the cluster only after it has parsed the command and built its files.
    const install = join(rollouts, "manifests/install.yaml"); // of the release, but for the tag of the image
    const local = command.replace(new RegExp(`${RegExp.escape(releases)}\\S+`), install);
    expect(await readErrors(local)).toMatch(connectionRefused);
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

// cluster.test.ts renders the chart of the workload identity webhook with the command of its page.
test.each(commands("helm upgrade --install dapr"))(
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

test("docs/operate/blue-green.md sets what infra/bicep sets for the Dapr extension, and one value of its chart more", () => {
  const cluster = readFileSync(join(root, "infra/bicep/modules/cluster.bicep"), "utf8");
  const [, name = "", settings = ""] =
    /Microsoft\.KubernetesConfiguration\/extensions@.*?name: '(\w+)'.*?configurationSettings: \{(.*?)\n {4}\}/s.exec(
      cluster,
    ) ?? [];
  const [, patch = ""] = commands("az rest").find(([page]) => page === "docs/operate/blue-green.md") ?? [];
  expect(patch).toContain(`/providers/Microsoft.KubernetesConfiguration/extensions/${name}?`);
  const body = JSON.parse(/--body '(.*)'/.exec(patch)?.[1] ?? "");
  expect(Object.keys(body.properties.configurationSettings)).toEqual([
    ...[...settings.matchAll(/'([\w.]+)':/g)].map(([, setting]) => setting),
    "global.argoRolloutServiceReconciler.enabled",
  ]);
  const values = parse(readFileSync(join(dapr, "charts/dapr/values.yaml"), "utf8"));
  expect(values).toHaveProperty("global.argoRolloutServiceReconciler.enabled");
});

test("docs/operate/policy.md installs the version of Gatekeeper that cluster.test.ts runs, from its chart", async () => {
  const source = await findSource("cluster", "github.com/open-policy-agent/gatekeeper/v3");
  const { name, version } = parse(readFileSync(join(source, "charts/gatekeeper/Chart.yaml"), "utf8"));
  expect(commands("helm upgrade").filter(([page]) => page === "docs/operate/policy.md")).toEqual([
    [
      "docs/operate/policy.md",
      `helm upgrade --install ${name} ${name} --repo https://open-policy-agent.github.io/gatekeeper/charts ` +
        `--version ${version} --namespace gatekeeper-system --create-namespace --wait`,
    ],
  ]);
});

test("the pods of Dapr have the label that docs/deploy/kubernetes.md reads the version from", () => {
  const [, command = ""] = commands("kubectl get pods").find(([, text]) => text.includes("-n dapr-system")) ?? [];
  const values = parse(readFileSync(join(dapr, "charts/dapr/values.yaml"), "utf8"));
  expect(values.global.k8sLabels).toHaveProperty([/--label-columns (\S+)$/.exec(command)?.[1] ?? ""]);
});

describe("docs/deploy/kubernetes.md", () => {
  const copy = mkdtempSync(join(tmpdir(), "aks-page-test-"));
  const overlay = join(copy, "infra/kubernetes/overlays/aks");
  const readOverlay = () => readFileSync(join(overlay, "settings.yaml"), "utf8");
  beforeEach(() => cpSync(join(root, "infra/kubernetes"), join(copy, "infra/kubernetes"), { recursive: true }));
  afterAll(() => rmSync(copy, { recursive: true }));

  /** Runs the only block of the page that matches. The fake `az` prints value-of-NAME for the output NAME. */
  async function runBlock(pattern: RegExp, more: NodeJS.ProcessEnv = {}): Promise<void> {
    const [block, ...others] = readBlocks("docs/deploy/kubernetes.md").filter(({ command }) => pattern.test(command));
    expect(others).toEqual([]);
    const az = `az() { sed -n 's/.*properties.outputs.\\([A-Z_]*\\).value.*/value-of-\\1/p' <<< "$*"; }`;
    await promisify(execFile)("bash", ["-euc", `${az}\n${block?.command}`], {
      cwd: copy,
      env: { ...process.env, PATH: path, AZURE_ENV_NAME: "samples", ...more },
    });
  }

  test("its commands fill in every placeholder that the overlay uses, and leave no other file", async () => {
    const before = readdirSync(overlay);
    await runBlock(/^output\(\)/);
    expect(readdirSync(overlay)).toEqual(before);
    const manifests = JSON.stringify(await build(overlay));
    expect(manifests).toContain('"image":"value-of-AZURE_CONTAINER_REGISTRY_ENDPOINT/welcome:1.0.0"');
    expect(manifests).toContain('"value":"value-of-COSMOS_URL"');
    expect(manifests).not.toMatch(/YOUR-|REGISTRY\.azurecr\.io/);
  });

  test("its commands keep the IMAGES of published images", async () => {
    await runBlock(/^output\(\)/, { IMAGES: "ghcr.io/owner/dapr-on-azure-samples" });
    expect(readOverlay()).toMatch(/^ {2}IMAGES: ghcr\.io\/owner\/dapr-on-azure-samples$/m);
    expect(readOverlay()).toContain("COSMOS_URL: value-of-COSMOS_URL\n");
  });

  test.each([
    ["az acr build", "aks"],
    ["docker build", "local"],
  ])("%s builds the images that overlays/%s runs", async (program, name) => {
    const onPage = commands(program).filter(([page]) => page === "docs/deploy/kubernetes.md");
    const built = onPage.map(([, command]) => {
      const [, service] = /--build-arg SERVICE=(\S+)/.exec(command) ?? [];
      const [, image] = /--(?:image|tag) (\S+)/.exec(command) ?? [];
      expect(image?.split(":")[0]).toBe(service);
      return image;
    });
    const objects = await build(join(root, "infra/kubernetes/overlays", name));
    const images = objects.flatMap((object) =>
      ["initContainers", "containers"].flatMap((list) => at(object, `spec.template.spec.${list}.0.image`) ?? []),
    );
    expect(built.sort()).toEqual(images.map((image) => basename(`${image}`)).sort());
  });

  test.each(["kind load docker-image", "minikube image load"])(
    "%s loads every image that docker build tags",
    (load) => {
      const onPage = (program: string) =>
        commands(program).flatMap(([page, command]) => (page === "docs/deploy/kubernetes.md" ? [command] : []));
      const tagged = onPage("docker build").map((command) => /--tag (\S+)/.exec(command)?.[1]);
      expect(tagged).toHaveLength(4);
      expect(onPage(load)).toEqual([`${load} ${tagged.join(" ")}`]);
    },
  );
});

test("docs/operate/key-vault.md grants the right to set secrets before it sets one, and the roles to object ids", () => {
  const page = readFileSync(join(root, "docs/operate/key-vault.md"), "utf8");
  const officer = page.indexOf('az role assignment create --role "Key Vault Secrets Officer"');
  expect(officer).toBeGreaterThan(0);
  expect(page.indexOf("az keyvault secret set")).toBeGreaterThan(officer);
  const grants = commands("az role assignment create");
  expect(grants.length).toBeGreaterThan(4);
  for (const [, command] of grants)
    expect(command).toMatch(/--assignee-object-id ("\$\(az .*(principalId|objectId|query id) |\$principal )/);
});

test.each(commands("helm uninstall"))("%s: %s names the release and the namespace of helm upgrade", (page, command) => {
  const [, release, namespace] = /^helm uninstall (\S+) --namespace (\S+)$/.exec(command) ?? [];
  const installed = commands("helm upgrade").filter(([other]) => other === page);
  expect(installed).toHaveLength(1);
  for (const [, install] of installed) {
    expect(install).toContain(`helm upgrade --install ${release} `);
    expect(install).toContain(` --namespace ${namespace} `);
  }
});

const isDownload = ([, command]: readonly [page: string, command: string]) => command.includes(releases);

test("docs/operate/blue-green.md installs the version of Argo Rollouts that the tests run, and its plugin, by the names of the release", () => {
  const page = readFileSync(join(root, "docs/operate/blue-green.md"), "utf8");
  const [, version = ""] =
    /argo-rollouts (v\S+)$/m.exec(readFileSync(join(root, "test/kubernetes/tools/rollouts/go.mod"), "utf8")) ?? [];
  const files = [...page.matchAll(new RegExp(`${RegExp.escape(releases)}(\\S+)`, "g"))].map(([, file]) => file);
  expect(files).toEqual(
    ["install.yaml", "kubectl-argo-rollouts-linux-amd64", "install.yaml"].map((file) => `${version}/${file}`),
  );
  const makefile = readFileSync(join(rollouts, "Makefile"), "utf8");
  expect(makefile).toMatch(/^PLUGIN_CLI_NAME\?=kubectl-argo-rollouts$/m);
  for (const machine of ["amd64", "arm64"]) expect(makefile).toMatch(new RegExp(`PLUGIN_CLI_NAME}-linux-${machine} `));
  const [, download = ""] = commands("curl").find(isDownload) ?? [];
  expect(page).toContain(`${download}\nsudo install ${/--output (\S+)/.exec(download)?.[1]} /usr/local/bin/\n`);
});

// cluster.test.ts requests the documents of the issuer.
const requests = commands("curl").filter((each) => !isDownload(each) && !each[1].includes("ISSUER"));

test.each(requests)("%s: %s requests a route of the service", (_page, command) => {
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
