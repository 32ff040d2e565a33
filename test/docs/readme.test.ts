// The README does what it says, and so does docs/operate/wasm.md: their shell blocks are run in a copy of the repository, on ports of
// their own, and the README's tables are those of the code.
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { variables as groupLister } from "../../services/group-lister/config.ts";
import { variables as helloWasm } from "../../services/hello-wasm/config.ts";
import type { Variable } from "../../services/runtime/config.ts";
import { variables as stateApi } from "../../services/state-api/config.ts";
import { variables as welcome } from "../../services/welcome/config.ts";
import { listPorts, readTemplate } from "../../tools/launch/template.ts";
import { readBlocks } from "../support/markdown.ts";
import { freePorts, root } from "../support/processes.ts";

const readme = readFileSync(join(root, "README.md"), "utf8");

const blocks = ["README.md", "docs/operate/wasm.md"].flatMap(readBlocks);
/** What cannot be run inside itself; .ci/run runs it. */
const elsewhere = ["npm test"];

const pattern = (output: string) =>
  new RegExp(
    output
      .split("…")
      .map((part) => RegExp.escape(part))
      .join("[^]*?"),
  );

describe.skipIf(process.platform !== "linux")("the shell blocks", () => {
  const folder = mkdtempSync(join(tmpdir(), "readme-test-"));
  const ports = new Map<string, string>();
  const onOurPorts = (text: string) =>
    [...ports].reduce((moved, [from, to]) => moved.replaceAll(`:${from}`, `:${to}`), text);
  let anotherPort: number;
  let stop = async () => {};

  beforeAll(async () => {
    // Else the `npm start` below would install into the node_modules that it shares with this run.
    const lock = createHash("sha256")
      .update(readFileSync(join(root, "package-lock.json")))
      .digest("hex");
    expect(readFileSync(join(root, "node_modules/.setup"), "utf8"), "npm test installs first").toBe(lock);
    const files = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], { cwd: root });
    for (const file of files.toString().split("\0").filter(Boolean)) cpSync(join(root, file), join(folder, file));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    const taken = listPorts(readTemplate(join(root, "dapr.yaml"))).map(({ port }) => port);
    const free = await freePorts(taken.length);
    for (const [index, port] of taken.entries()) ports.set(`${port}`, `${free[index]}`);
    const template = readFileSync(join(folder, "dapr.yaml"), "utf8");
    const moved = template.replaceAll(/\d+/g, (number) => ports.get(number) ?? number);
    // A service more, as the README's last paragraph says.
    cpSync(join(folder, "services/welcome"), join(folder, "services/another"), { recursive: true });
    const [app = 0, http = 0, grpc = 0, internal = 0, metrics = 0] = await freePorts(5);
    anotherPort = app;
    const entry = {
      appID: "another",
      appDirPath: ".",
      appPort: app,
      ...{ daprHTTPPort: http, daprGRPCPort: grpc, daprInternalGRPCPort: internal, metricsPort: metrics },
      command: ["node_modules/.bin/node", "services/another/server.ts"],
      env: { PORT: app },
    };
    writeFileSync(join(folder, "dapr.yaml"), `${moved}  - ${JSON.stringify(entry)}\n`);
  });
  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  test.each(blocks.filter(({ command }) => !elsewhere.includes(command)))("$command", async ({ command, output }) => {
    if (command === "npm start") {
      stop = await start(output ?? "");
      return;
    }
    const printed = execFileSync("bash", ["-c", onOurPorts(command)], { cwd: folder, encoding: "utf8", stdio: "pipe" });
    expect(printed).toMatch(pattern(output?.trim() ?? ""));
  });

  test("another service takes a folder and an entry in dapr.yaml", async () => {
    const answer = await fetch(`http://127.0.0.1:${anotherPort}/api/state/greeting`);
    expect(await answer.json()).toEqual({ hello: "world" });
  });

  /** `npm start`, which goes on until it is stopped. */
  async function start(output: string) {
    const [standIn, standInHttps] = [ports.get("8090"), (await freePorts(1))[0]];
    const child = spawn("npm", ["start"], {
      cwd: folder,
      env: {
        ...process.env,
        AZURE_STAND_IN_PORT: standIn,
        AZURE_STAND_IN_HTTPS_PORT: `${standInHttps}`,
        NO_COLOR: "1",
        FORCE_COLOR: undefined,
      },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (printed += chunk));
    const exited = once(child, "exit");
    const end = async () => {
      if (child.exitCode === null && child.pid) process.kill(-child.pid, "SIGINT");
      await exited;
    };
    try {
      await vi.waitUntil(() => printed.includes("Ctrl-C stops everything") || child.exitCode !== null, 25_000);
      expect(printed.replaceAll(/ +/g, " ")).toMatch(pattern(onOurPorts(output).replaceAll(/ +/g, " ")));
    } catch (error) {
      await end();
      throw error;
    }
    return end;
  }
});

describe("the tables", () => {
  const services = { "state-api": stateApi, "group-lister": groupLister, welcome, "hello-wasm": helloWasm } as Record<
    string,
    Record<string, Variable>
  >;
  const names = [...new Set(Object.values(services).flatMap((variables) => Object.keys(variables)))];
  const settings = names.map((name) => {
    const readers = Object.keys(services).filter((service) => services[service]?.[name]);
    const variable = services[readers[0] ?? ""]?.[name] as Variable;
    return { name, variable, readers: readers.length === 4 ? "all" : readers.join(", ") };
  });

  test("the settings are those that the services read", () => {
    const rows = settings.map(
      ({ name, variable, readers }) =>
        `| \`${name}\` | ${variable.default === "" ? "" : `\`${variable.default}\``} | ${variable.description} | ${readers} |`,
    );
    const table = ["| variable | default | meaning | read by |", "|---|---|---|---|", ...rows].join("\n");
    expect(readme).toContain(`<!-- settings -->\n${table}\n<!-- /settings -->`);
  });

  test(".env.example lists the same, commented out", () => {
    // What dapr.yaml sets for each app, and what the platform sets, is not for a file that all apps share.
    const own = [
      "PORT",
      "DAPR_HTTP_PORT",
      "CONTAINER_APP_REVISION",
      "CONTAINER_APP_REPLICA_NAME",
      "POD_TEMPLATE_HASH",
      "HOSTNAME",
    ];
    const lines = settings
      .filter(({ name }) => !own.includes(name))
      .map(({ name, variable }) => `# ${variable.description}\n#${name}=${variable.default}\n`);
    expect(readFileSync(join(root, ".env.example"), "utf8").split("\n").slice(2).join("\n")).toBe(lines.join("\n"));
  });
});

describe("all pages", () => {
  const pages = [
    "README.md",
    ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${name}`),
  ];
  const read = (page: string) => readFileSync(join(root, page), "utf8");

  test.each(pages)("%s: every file, folder and heading that is linked to is there", (page) => {
    for (const [, path = "", heading] of read(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)/g)) {
      const target = path === "" ? page : join(dirname(page), path);
      expect(existsSync(join(root, target)), target).toBe(true);
      if (heading !== undefined) expect(headings(read(target)), `${target}#${heading}`).toContain(heading);
    }
  });

  test.each(pages)("%s: every npm script that is named exists", (page) => {
    const { scripts } = JSON.parse(read("package.json"));
    for (const [, name = ""] of read(page).matchAll(/npm run ([\w:]+)/g)) expect(scripts).toHaveProperty([name]);
  });

  test("the shell blocks of each are judged by a test", () => {
    const judges = {
      ...{ "README.md": "test/docs/readme.test.ts", "docs/operate/wasm.md": "test/docs/readme.test.ts" },
      ...{
        "docs/deploy/containers.md": "test/containers/containers.test.ts",
        "docs/deploy/az.md": "test/infra/az.test.ts",
      },
      ...Object.fromEntries(
        [
          "deploy/kubernetes",
          "operate/blue-green",
          "operate/workload-identity",
          "operate/key-vault",
          "operate/policy",
        ].map((name) => [`docs/${name}.md`, "test/kubernetes/pages.test.ts"]),
      ),
    };
    expect(pages.filter((page) => readBlocks(page).length > 0).sort()).toEqual(Object.keys(judges).sort());
    for (const [page, judge] of Object.entries(judges)) expect(read(judge)).toContain(basename(page, ".md"));
  });

  /** As GitHub names them. */
  const headings = (page: string) =>
    [...page.matchAll(/^#+ (.+)$/gm)].map(([, text = ""]) =>
      text
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
        .replaceAll(" ", "-"),
    );
});
