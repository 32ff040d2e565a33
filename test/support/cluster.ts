// Starts a Kubernetes cluster on loopback: etcd, API server, controller manager and scheduler as processes, and nodes
// simulated by kwok.
import { execFile } from "node:child_process";
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { type Keys, loadKeys } from "../../stand-ins/azure/certificate.ts";
import { flags } from "../../tools/processes/flags.ts";
import { findSource, findTools } from "./go-tools.ts";
import { freePorts, run } from "./processes.ts";

export interface Cluster {
  /** Runs kubectl, with the Argo Rollouts plugin. Resolves with stdout; rejects with an error that has `stderr`. */
  kubectl(...args: string[]): Promise<string>;
  /** Runs shell commands in `folder` and resolves with stdout. Rejects when a command fails. */
  sh(commands: string): Promise<string>;
  /** Runs `kubectl apply --server-side` with manifests in YAML or JSON. */
  apply(manifests: string): Promise<string>;
  /**
   * Starts a program with administrator access to the cluster. The program ends with the cluster.
   *
   * @returns a function that sends SIGTERM and resolves when the program has ended
   */
  start(path: string, args: readonly string[], env?: Readonly<Record<string, string>>): () => Promise<unknown>;
  /** A temporary folder that is removed with the cluster. */
  readonly folder: string;
  readonly keys: Keys;
  /** Issuer of service account tokens. */
  readonly issuer: string;
  /** URL of the API server. */
  readonly server: string;
  /** URL of `kubectl proxy`: the API server over plain http, with administrator access. */
  readonly proxy: string;
  end(): Promise<void>;
}

/** @param serviceAccountFlags `--service-account-…` flags of the API server; default: it is its own issuer */
export async function startCluster(serviceAccountFlags: Readonly<Record<string, string>> = {}): Promise<Cluster> {
  const programs = await findTools("cluster");
  const plugins = await findTools("rollouts");
  const folder = mkdtempSync(join(tmpdir(), "kubernetes-test-"));
  // A CA, a certificate for 127.0.0.1 and a key that signs tokens.
  const keys = await loadKeys(join(folder, "keys"));
  const [certFile = "", keyFile = "", tokenKeyFile = ""] = ["cert.pem", "key.pem", "token-key.pem"].map((name) =>
    join(folder, "keys", name),
  );
  const apiPort = await findPort();
  const proxyPort = await findPort();
  const server = `https://127.0.0.1:${apiPort}`;
  const { "service-account-issuer": issuer = server } = serviceAccountFlags;

  const kubeconfig = join(folder, ".kube/config"); // Dapr reads this path even when KUBECONFIG is set
  mkdirSync(dirname(kubeconfig));
  const token = crypto.randomUUID();
  writeFileSync(join(folder, "tokens.csv"), `${token},admin,admin,system:masters\n`);
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server, "certificate-authority": keys.caFile } }],
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
      const process = run(path, args, { ...environment, ...env });
      let isStopping = false;
      process.ended.then(({ how }) => {
        if (!isEnding && !isStopping) console.error(`${path} ${how}:\n${process.output().slice(-5_000)}`);
      });
      processes.push(process);
      return () => {
        isStopping = true;
        return process.end();
      };
    },
    folder,
    keys,
    issuer,
    server,
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
    // etcd; `go build` names the program after the folder of its module.
    const etcdFlags = {
      "data-dir": join(folder, "etcd"),
      "unsafe-no-fsync": true,
      "log-level": "warn",
      "listen-client-urls": etcd,
      "advertise-client-urls": etcd,
      "listen-peer-urls": peer,
      "initial-advertise-peer-urls": peer,
      "initial-cluster": `default=${peer}`,
    };
    cluster.start(join(programs, "server"), flags(etcdFlags));
    const apiServerFlags = {
      "etcd-servers": etcd,
      "bind-address": "127.0.0.1",
      "secure-port": apiPort,
      "tls-cert-file": certFile,
      "tls-private-key-file": keyFile,
      "token-auth-file": join(folder, "tokens.csv"),
      "authorization-mode": "RBAC",
      "allow-privileged": true,
      "service-account-issuer": issuer,
      ...serviceAccountFlags,
      "service-account-key-file": tokenKeyFile,
      "service-account-signing-key-file": tokenKeyFile,
      "service-cluster-ip-range": "10.0.0.0/16",
      "endpoint-reconciler-type": "none",
    };
    cluster.start(join(programs, "kube-apiserver"), flags(apiServerFlags));
    await until("the API server is ready", () => cluster.kubectl("get", "--raw", "/readyz"));
    const controllerManagerFlags = {
      kubeconfig,
      "leader-elect": false,
      "use-service-account-credentials": true,
      "service-account-private-key-file": tokenKeyFile,
      "root-ca-file": keys.caFile,
      "bind-address": "127.0.0.1",
      "secure-port": await findPort(),
      "cert-dir": folder,
      "horizontal-pod-autoscaler-sync-period": "1s", // instead of 15 s
      // With the default of 20 requests per second, the start of the controllers alone takes 4 seconds.
      "kube-api-qps": "200",
      "kube-api-burst": "400",
    };
    cluster.start(join(programs, "kube-controller-manager"), flags(controllerManagerFlags));
    const schedulerFlags = {
      kubeconfig,
      "leader-elect": false,
      "bind-address": "127.0.0.1",
      "secure-port": await findPort(),
      "cert-dir": folder,
    };
    cluster.start(join(programs, "kube-scheduler"), flags(schedulerFlags));
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
    running.child.stdin?.on("error", () => {}); // the program exited without reading; its own error is reported
    running.child.stdin?.end(input);
    return (await running).stdout;
  }

  /**
   * Starts one node in each of three zones. kwok updates the API as kubelet would and reports pods as ready; no
   * container runs. A pod of a Job succeeds at once. The exceptions are pods whose container the test runs as a
   * process: one with the label app=superapi becomes ready when the test annotates it, and the test reports the end of
   * one with the label app=smoke.
   */
  async function startNodes(): Promise<void> {
    const stages = join(await findSource("cluster", "sigs.k8s.io/kwok"), "kustomize/stage");
    const files = [
      "node/fast/node-*.yaml",
      "node/heartbeat-with-lease/node-*.yaml",
      "pod/fast/pod-{ready,complete,delete}.yaml",
    ];
    let text = globSync(files, { cwd: stages })
      .map((file) => readFileSync(join(stages, file), "utf8"))
      .join("\n---\n");
    const exceptions = {
      "pod-ready": `.metadata.labels.app == "superapi" and .metadata.annotations.process != "running"`,
      "pod-complete": `.metadata.labels.app == "smoke"`,
    };
    for (const [stage, exception] of Object.entries(exceptions)) {
      const start = new RegExp(`name: ${stage}\\n[\\s\\S]*?matchExpressions:\\n`);
      if (!start.test(text)) throw new Error(`kwok has no stage ${stage} with matchExpressions`);
      text = text.replace(start, `$&    - { key: '${exception}', operator: NotIn, values: ["true"] }\n`);
    }
    writeFileSync(join(folder, "stages.yaml"), text);
    const kwokFlags = {
      kubeconfig,
      config: join(folder, "stages.yaml"),
      "manage-all-nodes": true,
      "node-lease-duration-seconds": "40",
      cidr: "10.244.0.0/16",
      "node-ip": "127.0.0.1",
    };
    cluster.start(join(programs, "kwok"), flags(kwokFlags));
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
    await until("pods can be created", () => cluster.kubectl("get", "serviceaccount", "default"));
  }
}

/** A free port, as a command-line argument. */
export async function findPort(): Promise<string> {
  return `${await freePorts(1)}`;
}

/**
 * Retries until the attempt succeeds.
 *
 * @param condition for the error message, such as `the API server is ready`
 * @throws after a minute, with the last error as its cause
 */
export async function until<T>(condition: string, attempt: () => Promise<T>): Promise<T> {
  const deadline = performance.now() + 60_000;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline)
        throw new Error(`timed out after a minute waiting until ${condition}`, { cause: error });
      await sleep(100);
    }
  }
}

/** Connects to a local port and disconnects. Rejects when no process listens on it. */
export async function connectTo(port: string): Promise<void> {
  const socket = connect(Number(port), "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.destroy();
}
