// Rules that each dependency has an exact version, so that a clone runs what was tested.
// Each function returns a message for each breach.
import { parse } from "yaml";

const exactVersion = /^v?\d+\.\d+\.\d+(-[\w.]+)?$/;
const digest = /@sha256:[0-9a-f]{64}$/;

/** The parts of package.json and package-lock.json that the rules need. */
export interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly allowScripts?: Readonly<Record<string, boolean>>;
}
export interface LockFile {
  readonly packages: Readonly<Record<string, LockedPackage>>;
}
interface LockedPackage {
  readonly version?: string;
  readonly resolved?: string;
  readonly integrity?: string;
  readonly hasInstallScript?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

export function checkManifest({ allowScripts = {}, ...manifest }: Manifest, { packages }: LockFile): string[] {
  const versions = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
  const scripted = Object.entries(packages).filter(([, { hasInstallScript }]) => hasInstallScript);
  return [
    ...Object.entries(versions)
      .filter(([, version]) => !exactVersion.test(version))
      .map(([name, version]) => `${name} has the range ${version}`),
    ...scripted
      .map(([path]) => nameOf(path))
      .filter((name) => allowScripts[name] !== false)
      .map((name) => `allowScripts does not deny the install script of ${name}`),
    ...Object.keys(allowScripts)
      .filter((name) => !scripted.some(([path]) => nameOf(path) === name))
      .map((name) => `allowScripts names ${name}, which has no install script`),
  ];
}

export function checkLockFile({ packages }: LockFile): string[] {
  return Object.entries(packages).flatMap(([path, { resolved = "", integrity = "", optionalDependencies = {} }]) => [
    ...(path === "" || resolved.startsWith("https://registry.npmjs.org/") ? [] : [`${path} comes from "${resolved}"`]),
    ...(path === "" || /^sha512-[\w+/]{86}==$/.test(integrity) ? [] : [`${path} has no SHA-512`]),
    ...Object.keys(optionalDependencies)
      .filter((name) => !packages[`${path}/node_modules/${name}`] && !packages[`node_modules/${name}`])
      .map((name) => `${name} is missing, an optional package of ${path || "the project"}`),
  ]);
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
}

interface Workflow {
  readonly jobs: Readonly<Record<string, Job>>;
}
interface Job {
  readonly uses?: string;
  readonly "runs-on"?: string;
  readonly container?: string | { readonly image: string };
  readonly services?: Readonly<Record<string, { readonly image: string }>>;
  readonly steps?: readonly Step[];
}
interface Step {
  readonly uses?: string;
  readonly run?: string;
  readonly with?: Readonly<Record<string, unknown>>;
}

export function checkWorkflow(text: string): string[] {
  const jobs = Object.values((parse(text) as Workflow).jobs);
  const steps = jobs.flatMap((job) => job.steps ?? []);
  const actions = [...jobs, ...steps].flatMap(({ uses = [] }) => uses).filter((name) => !name.startsWith("./"));
  const inputs = steps.flatMap((step) => Object.entries(step.with ?? {}));
  const images = jobs.flatMap(({ container = [], services = {} }) => [container, ...Object.values(services)].flat());
  return [
    ...actions.filter((name) => !/@[0-9a-f]{40}$/.test(name)).map((name) => `${name} is not pinned by its commit`),
    ...actions
      .filter((name) => !text.includes(`uses: ${name} # v`))
      .map((name) => `${name} has no comment with its version, which Renovate reads`),
    ...jobs.map((job) => job["runs-on"] ?? "").filter((name) => name.endsWith("-latest")),
    ...inputs
      .filter(([name, value]) => name.endsWith("version") && !exactVersion.test(`${value}`))
      .map(([name, value]) => `${name}: ${value} is not exact`),
    ...images.flatMap((image) => checkImage(typeof image === "string" ? image : image.image)),
    ...steps.flatMap(({ run = "" }) => checkShell(run)),
  ];
}

/** An image by digest and, for readers and Renovate, with the tag that the digest belongs to. */
export function checkImage(image: string): string[] {
  const [, tag] = /^[^@]+:([^/@]+)(@|$)/.exec(image) ?? [];
  if (!tag || tag === "latest") return [`${image} has no tag of a version`];
  return digest.test(image) ? [] : [`${image} has no digest`];
}

interface DevContainer {
  readonly image: string;
  readonly features: Readonly<Record<string, Readonly<Record<string, string | boolean>>>>;
  readonly [command: `on${string}Command` | `post${string}Command`]: string;
}

export function checkDevContainer(container: DevContainer): string[] {
  const commands = Object.entries(container).filter(([name]) => name.endsWith("Command"));
  return [
    ...checkImage(container.image),
    ...Object.keys(container.features)
      .filter((name) => !/:\d+\.\d+\.\d+$/.test(name))
      .map((name) => `${name} is not an exact version`),
    ...Object.entries(container.features)
      .filter(([, options]) => typeof options.version !== "string")
      .map(([name]) => `${name} installs the latest version`),
    ...Object.entries(container.features).flatMap(([name, options]) =>
      Object.entries(options)
        .filter(
          ([option, value]) => /version|^helm$/i.test(option) && value !== "none" && !exactVersion.test(`${value}`),
        )
        .map(([option, value]) => `${name}: ${option} ${value} is not exact`),
    ),
    ...commands.flatMap(([, command]) => checkShell(`${command}`)),
  ];
}

/** What a command must and must not contain, by the command. */
const commandRules: readonly { command: RegExp; fault: string; isPinned: (command: string) => boolean }[] = [
  {
    command: /\b(curl|wget|iwr|Invoke-WebRequest)\b.*\|\s*(sudo\s+)?(\w*sh|python\d?|node|iex)\b/,
    fault: "runs a download unseen",
    isPinned: () => false,
  },
  {
    command: /\b(npx|npm exec|npm x)\b/,
    fault: "runs a package that is not in the lock file",
    isPinned: (command) => /\b(npx|npm exec|npm x)\s+(vitest|node)\b/.test(command),
  },
  {
    command: /\bnpm (i|install|add)\s+(?!-)\S/,
    fault: "installs a package without its exact version",
    isPinned: (command) => /\bnpm \w+\s+\S+@(\d+\.\d+\.\d+|VERSION)\b/.test(command),
  },
  {
    command: /\bpip3? install\b/,
    fault: "installs Python packages without --require-hashes",
    isPinned: (command) => command.includes("--require-hashes"),
  },
  {
    command: /\bgo (install|run|get)\s+[^\s.-][^\s]*\.[^\s]*\//,
    fault: "fetches a Go module without its exact version",
    isPinned: (command) => /@v\d+\.\d+\.\d+\b/.test(command),
  },
  {
    command: /\bhelm (install|upgrade|pull|template)\b/,
    fault: "fetches a chart without --version",
    isPinned: (command) => /--version v?\d+\.\d+\.\d+\b/.test(command),
  },
  {
    command: /\baz extension add\b/,
    fault: "installs an extension without --version",
    isPinned: (command) => /--version \d+\.\d+/.test(command),
  },
  {
    command: /\baz bicep (install|upgrade)\b/,
    fault: "installs Bicep without --version",
    isPinned: (command) => /--version v\d+\.\d+\.\d+\b/.test(command),
  },
  {
    command: /\baz aks install-cli\b/,
    fault: "installs kubectl or kubelogin without its version",
    isPinned: (command) => /--client-version \d/.test(command) && /--kubelogin-version v?\d/.test(command),
  },
  {
    command: /\b(azd extension|spin (plugins|templates)) install\b/,
    fault: "installs a plugin without --version",
    isPinned: (command) => /--version v?\d/.test(command),
  },
  {
    command: /\bhttps:\/\/(raw\.githubusercontent\.com|github\.com)\S*\/(main|master|latest)\//,
    fault: "uses a file of a branch",
    isPinned: (command) => !/\b(apply|create|install|curl|wget)\b/.test(command),
  },
  { command: /[\w/-]+[:@]latest\b/, fault: "names latest", isPinned: () => false },
];

/** Checks a script; a backslash continues a line. */
export function checkShell(script: string): string[] {
  const lines = script.replaceAll(/\\\n\s*/g, "").split("\n");
  const commands = lines.filter((line) => !/^\s*#/.test(line)).map((line) => line.trim());
  return commands.flatMap((line) =>
    commandRules
      .filter(({ command, isPinned }) => command.test(line) && !isPinned(line))
      .map(({ fault }) => `"${line}" ${fault}`),
  );
}

/** Without these settings of Renovate, updates would float, arrive on the day of release or merge by themselves. */
export function checkRenovate(text: string): string[] {
  const config: { extends: string[]; minimumReleaseAge?: string } = JSON.parse(text);
  const required = ["helpers:pinGitHubActionDigestsToSemver", "docker:pinDigests"];
  return [
    ...required.filter((preset) => !config.extends.includes(preset)).map((preset) => `${preset} is missing`),
    ...(/^([3-9]|\d\d+) days$/.test(config.minimumReleaseAge ?? "") ? [] : ["minimumReleaseAge is missing or short"]),
    ...[...text.matchAll(/"(pinDigests|updatePinnedDependencies)": false|"automerge": true/g)].map(([found]) => found),
    ...[...text.matchAll(/"rangeStrategy": "(?!pin")\w[\w-]*"|":preserveSemverRanges"|"minimumReleaseAge": null/g)].map(
      ([found]) => found,
    ),
  ];
}

/** Places from which code downloads programs. */
export function findDownloads(code: string): string[] {
  const lines = code.split("\n").filter((line) => !/^\s*(\/\/|\*|\/\*)/.test(line));
  const origins = /https:\/\/(?:[\w.-]*github(?:usercontent)?\.com|dl\.k8s\.io|get\.[\w.-]+|go\.dev\/dl)[^\s"'`)]*/g;
  return lines.flatMap((line) => line.replace(/ \/\/ .*/, "").match(origins) ?? []);
}
