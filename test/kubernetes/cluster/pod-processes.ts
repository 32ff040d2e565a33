// In place of the cluster's network and of the container runtime: containers run as processes with what their pods got
// from the manifests, and an HTTP proxy leads to them. A pod with the label app=superapi is welcome in a Rollout: it
// becomes ready when its process is. The process of a smoke Job starts with its pod and reaches other pods through the
// proxy. Prometheus starts with the first request for it.
import { mkdirSync, mkdtempSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { field } from "../../../services/runtime/field.ts";
import { at, listAt, textAt } from "../../support/at.ts";
import { type Cluster, connectTo, findPort, until } from "../../support/cluster.ts";
import { createToken, startAsInPod } from "../../support/cluster-add-ons.ts";
import { findTools } from "../../support/go-tools.ts";
import type { Container, KubernetesObject, Pod } from "../../support/kubernetes-objects.ts";
import { run, startService } from "../../support/processes.ts";

export interface PodProcesses {
  /** URL of the proxy, for HTTP_PROXY: it knows `http://SERVICE.NAMESPACE.svc` and the addresses of pods. */
  readonly proxy: string;
  /** Sends a GET request through the proxy and resolves with the body of the response. */
  get(url: string): Promise<string>;
  end(): Promise<void>;
}

interface RunningPod {
  /** Local ports by container port. */
  readonly ports: Readonly<Record<number, string>>;
  readonly end: () => Promise<unknown>;
}

export async function startPodProcesses(cluster: Cluster): Promise<PodProcesses> {
  const programs = await findTools("prometheus");
  const running = new Map<string, Promise<RunningPod>>();
  const ending: Promise<unknown>[] = [];
  let ended = false;
  let turn = 0;
  const proxyPort = await findPort();
  const proxy = `http://127.0.0.1:${proxyPort}`;

  const read = async <T = KubernetesObject>(path: string): Promise<T> => {
    const response = await fetch(`${cluster.proxy}${path}`);
    if (!response.ok) throw new Error(`${path}: ${await response.text()}`);
    return response.json() as Promise<T>;
  };
  const list = async <T = KubernetesObject>(path: string) => (await read<{ items: T[] }>(path)).items;

  /** The local port for a URL's host and port. */
  async function findLocalPort({ hostname, port }: URL): Promise<string> {
    const [, service, namespace] = /^([^.]+)\.([^.]+)\.svc$/.exec(hostname) ?? [];
    if (service === undefined) {
      const [pod] = await list<Pod>(`/api/v1/pods?fieldSelector=status.podIP=${hostname}`);
      return localPortOf(pod, Number(port));
    }
    const { spec } = await read<{ spec: object }>(`/api/v1/namespaces/${namespace}/services/${service}`);
    const servicePort = listAt(spec, "ports").find((item) => field(item, "port") === Number(port || "80"));
    const slices = await list(
      `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io/service-name=${service}`,
    );
    const names = slices
      .flatMap((slice) => field(slice, "endpoints") ?? [])
      .filter((endpoint) => at(endpoint, "conditions.ready") !== false)
      .map((endpoint) => textAt(endpoint, "targetRef.name"));
    if (names.length === 0) throw new Error(`the Service ${hostname} has no ready endpoints`);
    turn += 1;
    const pod = await read<Pod>(`/api/v1/namespaces/${namespace}/pods/${names.sort()[turn % names.length]}`);
    return localPortOf(pod, Number(field(servicePort, "targetPort") ?? port));
  }

  async function localPortOf(pod: Pod | undefined, port: number): Promise<string> {
    if (!pod) throw new Error("no pod has this address");
    const local = (await processOf(pod)).ports[port];
    if (local === undefined) throw new Error(`${pod.metadata.name} does not listen on ${port}`);
    return local;
  }

  function processOf(pod: Pod): Promise<RunningPod> {
    const { uid } = pod.metadata;
    const process = running.get(uid) ?? start(pod);
    running.set(uid, process);
    return process;
  }

  async function start(pod: Pod): Promise<RunningPod> {
    if (ended) throw new Error("the proxy has ended"); // nothing would end the process
    const [container] = pod.spec.containers;
    if (!container) throw new Error(`${pod.metadata.name} has no container`);
    return /\bprometheus:/.test(container.image) ? startPrometheus(pod, container) : startWelcome(pod, container);
  }

  async function startWelcome(pod: Pod, container: Container): Promise<RunningPod> {
    const [port, metricsPort] = [await findPort(), await findPort()];
    const env = { ...(await resolveVariables(pod, container)), PORT: port, METRICS_PORT: metricsPort };
    const { end } = await startService("welcome", env, "/healthz");
    return { ports: { 8080: port, 9464: metricsPort }, end };
  }

  async function resolveVariables({ metadata }: Pod, { env = [], envFrom = [] }: Container) {
    const maps = envFrom.map(({ configMapRef }) => readConfigMap(metadata.namespace, configMapRef.name));
    const variables = env.map(({ name, value, valueFrom }) => {
      const [, label = ""] = /^metadata\.labels\['(.*)'\]$/.exec(valueFrom?.fieldRef?.fieldPath ?? "") ?? [];
      return [name, value ?? metadata.labels?.[label] ?? ""];
    });
    return { ...Object.assign({}, ...(await Promise.all(maps))), ...Object.fromEntries(variables) };
  }

  async function readConfigMap(namespace: string, name: string): Promise<Record<string, string>> {
    return (await read<{ data: Record<string, string> }>(`/api/v1/namespaces/${namespace}/configmaps/${name}`)).data;
  }

  /** Prometheus reads the pods with the token of its service account, and so with the rights of its Role. */
  async function startPrometheus({ metadata, spec }: Pod, container: Container): Promise<RunningPod> {
    const { name, namespace } = metadata;
    const folder = mkdtempSync(join(cluster.folder, "prometheus-"));
    let args = [...(container.args ?? [])];
    for (const { name: volume, configMap } of spec.volumes) {
      const mountPath = container.volumeMounts?.find((mount) => mount.name === volume)?.mountPath;
      const target = join(folder, volume);
      mkdirSync(target);
      const files = configMap ? await readConfigMap(namespace, configMap.name) : {};
      for (const [file, content] of Object.entries(files)) writeFileSync(join(target, file), content);
      args = args.map((arg) => arg.replace(`=${mountPath}`, `=${target}`));
    }
    const port = await findPort();
    const { hostname, port: apiPort } = new URL(cluster.server);
    const account = "kubernetes.io/serviceaccount";
    const end = startAsInPod(cluster, {
      path: join(programs, "prometheus"),
      args: [
        ...args,
        `--web.listen-address=127.0.0.1:${port}`,
        "--scrape.discovery-reload-interval=200ms", // instead of 5 s, until it scrapes new pods
      ],
      env: { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: apiPort },
      secrets: {
        [`${account}/token`]: await createToken(cluster, spec.serviceAccountName, namespace, name, cluster.issuer),
        [`${account}/ca.crt`]: `${cluster.keys.ca}`,
        [`${account}/namespace`]: namespace,
      },
    });
    await until("Prometheus listens", () => connectTo(port));
    return { ports: { [container.ports?.[0]?.containerPort ?? 0]: port }, end };
  }

  /**
   * Until the proxy ends: starts the processes of new pods, except Prometheus, and ends those of pods that no longer
   * exist.
   */
  async function runPods(): Promise<void> {
    const started = new Map<string, Promise<void>>();
    const path = `/api/v1/pods?labelSelector=${encodeURIComponent("app in (prometheus, smoke, superapi)")}`;
    for (; server.listening; await sleep(250)) {
      const existing = await list<Pod>(path).catch((error) => console.error("cannot list pods:", error));
      if (!existing) continue;
      for (const pod of existing) {
        const { name, uid, labels, deletionTimestamp } = pod.metadata;
        if (started.has(uid) || deletionTimestamp) continue;
        const report = (error: unknown) => console.error(`${name} does not run:`, error);
        if (labels?.app === "smoke" && pod.status.phase === "Running") started.set(uid, runJob(pod).catch(report));
        if (labels?.app === "superapi" && pod.spec.nodeName) started.set(uid, runWelcome(pod).catch(report));
      }
      const uids = new Set(existing.map(({ metadata }) => metadata.uid));
      for (const [uid, process] of running) {
        if (uids.has(uid)) continue;
        running.delete(uid);
        // runWelcome or the response of the proxy has reported the error of a process that did not start.
        ending.push(process.then(({ end }) => end()).catch(() => {}));
      }
    }
    await Promise.all(started.values());
  }

  /** kwok reports the pod as ready when it has the annotation: see startNodes. */
  async function runWelcome(pod: Pod): Promise<void> {
    await processOf(pod);
    await patch(pod, "", { metadata: { annotations: { process: "running" } } });
  }

  async function runJob(pod: Pod): Promise<void> {
    const [container] = pod.spec.containers;
    const [program, ...options] = container?.command ?? [];
    if (!container || program !== "node") throw new Error(`${pod.metadata.name} does not run Node`);
    const env = { ...(await resolveVariables(pod, container)), NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy };
    const { code } = await run(process.execPath, [...options, ...(container.args ?? [])], env).ended;
    await patch(pod, "/status", { status: { phase: code === 0 ? "Succeeded" : "Failed" } });
  }

  /** Does nothing when the pod no longer exists. */
  async function patch({ metadata }: Pod, subresource: string, change: object): Promise<void> {
    const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}${subresource}`;
    const response = await fetch(`${cluster.proxy}${path}`, {
      method: "PATCH",
      headers: { "Content-Type": "application/merge-patch+json" },
      body: JSON.stringify(change),
    });
    if (!response.ok && response.status !== 404) throw new Error(`${path}: ${await response.text()}`);
  }

  async function forward(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const url = new URL(incoming.url ?? "");
    const port = await findLocalPort(url);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { method, headers } = incoming;
    // welcome listens on loopback in the test, where it serves no other Host.
    const options = {
      port,
      method,
      path: url.pathname + url.search,
      headers: { ...headers, host: `127.0.0.1:${port}` },
    };
    const sent = request({ host: "127.0.0.1", agent: false, ...options }, (response) => {
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      response.pipe(outgoing).once("finish", resolve).once("close", resolve);
    });
    sent.once("error", reject);
    incoming.pipe(sent);
    await promise;
  }

  const server = createServer((incoming, outgoing) => {
    forward(incoming, outgoing).catch((error) => {
      if (!outgoing.headersSent) outgoing.writeHead(502); // a client of a real Service would get no response
      outgoing.end(String(error));
    });
  });
  await new Promise<void>((resolve) => server.listen(Number(proxyPort), "127.0.0.1", resolve));
  const pods = runPods();
  return {
    proxy,
    async get(url) {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      request({ host: "127.0.0.1", port: proxyPort, path: url, agent: false }, resolve).once("error", reject).end();
      return text(await promise);
    },
    async end() {
      server.close();
      server.closeAllConnections();
      await pods;
      ended = true;
      ending.push(...[...running.values()].map((process) => process.then(({ end }) => end())));
      await Promise.allSettled(ending); // one that never started has nothing to end
    },
  };
}
