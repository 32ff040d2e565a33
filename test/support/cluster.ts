// A Kubernetes cluster of real programs on loopback: etcd, API server, controller manager, scheduler, and nodes played by kwok.
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Keys, loadKeys } from "../../stand-ins/azure/certificate.ts";
import { findSource, findTools } from "./kubernetes-tools.ts";
import { freePorts, run } from "./processes.ts";

export interface Cluster {
  /** As users type it, plugins of Argo Rollouts included. Resolves with what it prints, rejects with what it says. */
  kubectl(...args: string[]): Promise<string>;
  /** A block of commands of a page, in `folder`. Rejects when one of them fails. */
  sh(commands: string): Promise<string>;
  /** `kubectl apply --server-side` of manifests in YAML or JSON. */
  apply(manifests: string): Promise<string>;
  /** Starts a program beside the cluster, as its administrator; it ends with it. */
  start(path: string, args: readonly string[], env?: Readonly<Record<string, string>>): void;
  /** For what ends with the cluster. */
  readonly folder: string;
  readonly keys: Keys;
  /** Who signs the tokens of service accounts. */
  readonly issuer: string;
  /** The API server over plain http, as administrator: `kubectl proxy`. */
  readonly proxy: string;
  end(): Promise<void>;
}

export async function startCluster(): Promise<Cluster> {
  const programs = await findTools("cluster");
  const plugins = await findTools("rollouts");
  const folder = mkdtempSync(join(tmpdir(), "kubernetes-test-"));
  // A CA, a certificate for this machine and a key to sign tokens with: a cluster needs what a stand-in of Azure needs.
  const keys = await loadKeys(join(folder, "keys"));
  const [certFile = "", keyFile = "", tokenKeyFile = ""] = ["cert.pem", "key.pem", "token-key.pem"].map((name) =>
    join(folder, "keys", name),
  );
  const apiPort = await findPort();
  const proxyPort = await findPort();
  const issuer = `https://127.0.0.1:${apiPort}`;

  const kubeconfig = join(folder, ".kube/config"); // where Dapr looks for it, whatever KUBECONFIG says
  mkdirSync(dirname(kubeconfig));
  const token = crypto.randomUUID();
  writeFileSync(join(folder, "tokens.csv"), `${token},admin,admin,system:masters\n`);
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: issuer, "certificate-authority": keys.caFile } }],
      users: [{ name: "admin", user: { token } }],
      contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
      "current-context": "test",
    }),
  );
  const environment = {
    KUBECONFIG: kubeconfig,
    HOME: folder,
    PATH: [programs, plugins, process.env.PATH].join(delimiter),
  };

  const processes: ReturnType<typeof run>[] = [];
  let isEnding = false;
  const cluster: Cluster = {
    kubectl: (...args) => execute("kubectl", args),
    sh: (commands) => execute("bash", ["-euc", commands]),
    apply: (manifests) => execute("kubectl", ["apply", "--server-side", "--filename", "-"], manifests),
    start(path, args, env = {}) {
      // Linux ends it with us, however we end.
      const process = run("setpriv", ["--pdeathsig", "KILL", path, ...args], { ...environment, ...env });
      process.ended.then(({ how }) => {
        if (!isEnding) console.error(`${path} ${how}:\n${process.output().slice(-5_000)}`);
      });
      processes.push(process);
    },
    folder,
    keys,
    issuer,
    proxy: `http://127.0.0.1:${proxyPort}`,
    async end() {
      isEnding = true;
      await Promise.all(processes.map((process) => process.end("SIGKILL")));
      rmSync(folder, { recursive: true });
    },
  };

  try {
    const etcd = `http://127.0.0.1:${await findPort()}`;
    const peer = `http://127.0.0.1:${await findPort()}`;
    // etcd; Go calls it after the folder of its module.
    cluster.start(join(programs, "server"), [
      ...["--data-dir", join(folder, "etcd"), "--unsafe-no-fsync", "--log-level", "warn"],
      ...["--listen-client-urls", etcd, "--advertise-client-urls", etcd],
      ...["--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", `default=${peer}`],
    ]);
    cluster.start(join(programs, "kube-apiserver"), [
      ...["--etcd-servers", etcd, "--bind-address", "127.0.0.1", "--secure-port", apiPort],
      ...["--tls-cert-file", certFile, "--tls-private-key-file", keyFile],
      ...["--token-auth-file", join(folder, "tokens.csv"), "--authorization-mode", "RBAC", "--allow-privileged"],
      ...["--service-account-issuer", issuer, "--service-account-key-file", tokenKeyFile],
      ...["--service-account-signing-key-file", tokenKeyFile, "--service-cluster-ip-range", "10.0.0.0/16"],
      ...["--endpoint-reconciler-type", "none"],
    ]);
    await until("the API server is ready", () => cluster.kubectl("get", "--raw", "/readyz"));
    cluster.start(join(programs, "kube-controller-manager"), [
      ...["--kubeconfig", kubeconfig, "--leader-elect=false", "--use-service-account-credentials"],
      ...["--service-account-private-key-file", tokenKeyFile, "--root-ca-file", keys.caFile],
      ...["--bind-address", "127.0.0.1", "--secure-port", await findPort(), "--cert-dir", folder],
      ...["--horizontal-pod-autoscaler-sync-period", "1s"], // not 15 s
    ]);
    cluster.start(join(programs, "kube-scheduler"), [
      ...["--kubeconfig", kubeconfig, "--leader-elect=false"],
      ...["--bind-address", "127.0.0.1", "--secure-port", await findPort(), "--cert-dir", folder],
    ]);
    cluster.start(join(programs, "kubectl"), ["proxy", "--port", proxyPort]);
    await startNodes();
    return cluster;
  } catch (error) {
    await cluster.end();
    throw error;
  }

  async function execute(program: string, args: string[], input = ""): Promise<string> {
    const running = promisify(execFile)(program, args, {
      cwd: folder,
      env: { ...process.env, ...environment },
      maxBuffer: 100e6,
    });
    running.child.stdin?.on("error", () => {}); // it has ended without reading, and says itself why
    running.child.stdin?.end(input);
    return (await running).stdout;
  }

  /** One in each zone. kwok does what kubelet does with the API, and says of pods that they run; nothing runs. */
  async function startNodes(): Promise<void> {
    const stages = join(await findSource("cluster", "sigs.k8s.io/kwok"), "kustomize/stage");
    const files = ["node/fast/node-*.yaml", "node/heartbeat-with-lease/node-*.yaml", "pod/fast/pod-*.yaml"];
    const config = globSync(files, { cwd: stages }).map((file) => readFileSync(join(stages, file), "utf8"));
    writeFileSync(join(folder, "stages.yaml"), config.join("\n---\n"));
    cluster.start(join(programs, "kwok"), [
      ...["--kubeconfig", kubeconfig, "--config", join(folder, "stages.yaml"), "--manage-all-nodes"],
      ...["--node-lease-duration-seconds", "40", "--cidr", "10.244.0.0/16", "--node-ip", "127.0.0.1"],
    ]);
    const size = { cpu: "8", memory: "32Gi", pods: "110" };
    const nodes = ["1", "2", "3"].map((zone) => ({
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: `node-${zone}`,
        labels: {
          "kubernetes.io/hostname": `node-${zone}`,
          "kubernetes.io/os": "linux",
          "topology.kubernetes.io/zone": `zone-${zone}`,
        },
      },
      status: { capacity: size, allocatable: size },
    }));
    const list = JSON.stringify({ apiVersion: "v1", kind: "List", items: nodes });
    await execute("kubectl", ["create", "--filename", "-"], list);
    await cluster.kubectl("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s");
    await until("pods can be made", () => cluster.kubectl("get", "serviceaccount", "default"));
  }
}

/** A port that nobody has now, as an argument. */
export async function findPort(): Promise<string> {
  return `${await freePorts(1)}`;
}

/** @throws the last reason why not, after a minute */
export async function until<T>(what: string, attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw new Error(`in vain for a minute: ${what}`, { cause: error });
      await sleep(100);
    }
  }
}

/** Rejects while nobody listens there. */
export async function accept(port: string): Promise<void> {
  const socket = connect(Number(port), "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.destroy();
}
