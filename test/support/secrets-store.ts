// The Secrets Store CSI driver as a process beside a cluster, and what it has on its two sides: kubelet, which asks it for the
// volumes of pods, and the provider for Azure, whose module the proxy does not serve.
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  credentials,
  loadPackageDefinition,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceClientConstructor,
  type ServiceError,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { type Cluster, until } from "./cluster.ts";
import { findSource, findTools } from "./kubernetes-tools.ts";

interface SecretsStore {
  /** What kubelet does again and again: mounts the pod's volume, or has it looked after. Resolves with the folder. */
  publish(): Promise<string>;
  /** What the provider was asked for, each time: the SecretProviderClass' parameters, and what the driver says of the pod. */
  readonly asked: Record<string, string>[];
  close(): void;
}

/** @param read what the vault has under a name */
export async function startSecretsStore(
  { folder, kubectl, start }: Cluster,
  // biome-ignore lint/suspicious/noExplicitAny: a Pod
  pod: any,
  read: (name: string) => string,
): Promise<SecretsStore> {
  const here = join(folder, "secrets-store");
  const driver = join(here, "csi.sock");
  const { namespace, name, uid } = pod.metadata;
  mkdirSync(here);

  const asked: Record<string, string>[] = [];
  const provider = new Server();
  const source = await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver");
  provider.addService(load(join(source, "provider/v1alpha1/service.proto"), "v1alpha1.CSIDriverProvider").service, {
    version: (_call: unknown, answer: sendUnaryData<object>) => answer(null, { version: "v1alpha1" }),
    mount: ({ request }: ServerUnaryCall<{ attributes: string }, object>, answer: sendUnaryData<object>) => {
      const attributes = JSON.parse(request.attributes);
      asked.push(attributes);
      const [, path = ""] = /objectName: (\S+)/.exec(attributes.objects) ?? [];
      const contents = Buffer.from(read(path));
      answer(null, {
        objectVersion: [{ id: `secret/${path}`, version: `${asked.length}` }],
        files: [{ path, mode: 0o644, contents }],
      });
    },
  });
  await new Promise<void>((resolve, reject) => {
    provider.bindAsync(`unix:${join(here, "azure.sock")}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });

  // It mounts, which takes a view of its own of the file system; from outside that is at /proc/PID/root.
  const pidFile = join(here, "pid");
  start("unshare", [
    ...["--mount", "--map-root-user", "sh", "-c", 'echo $$ > "$0"; exec "$@"', pidFile],
    ...[join(await findTools("dapr"), "secrets-store-csi-driver"), "--nodeid", pod.spec.nodeName],
    ...["--endpoint", `unix://${driver}`, "--provider-volume", here, "--additional-provider-volume-paths", here],
    ...["--metrics-addr", "0", "--enable-secret-rotation", "--rotation-poll-interval", "1ms"],
  ]);

  const audience = "api://AzureADTokenExchange";
  const { serviceAccountName, volumes } = pod.spec;
  const volume = volumes.find(({ csi }: { csi?: object }) => csi);
  const request = {
    volumeId: "csi",
    targetPath: join(here, "pods", uid, "volumes/kubernetes.io~csi", volume.name, "mount"),
    readonly: volume.csi.readOnly,
    volumeCapability: { mount: {} },
    volumeContext: {
      ...volume.csi.volumeAttributes,
      "csi.storage.k8s.io/pod.name": name,
      "csi.storage.k8s.io/pod.namespace": namespace,
      "csi.storage.k8s.io/pod.uid": uid,
      "csi.storage.k8s.io/serviceAccount.name": serviceAccountName,
      "csi.storage.k8s.io/serviceAccount.tokens": JSON.stringify({
        [audience]: {
          token: await kubectl("create", "token", serviceAccountName, "-n", namespace, "--audience", audience),
        },
      }),
    },
  };
  const specification = await findSource("dapr", "github.com/container-storage-interface/spec");
  const Node = load(join(specification, "csi.proto"), "csi.v1.Node");
  const kubelet = new Node(`unix:${driver}`, credentials.createInsecure());
  const publish = () =>
    new Promise<void>((resolve, reject) => {
      kubelet.nodePublishVolume?.(request, (error: ServiceError | null) => (error ? reject(error) : resolve()));
    });
  return {
    async publish() {
      await until("the volume is mounted", publish);
      return join("/proc", readFileSync(pidFile, "utf8").trim(), "root", request.targetPath);
    },
    asked,
    close() {
      kubelet.close();
      provider.forceShutdown();
    },
  };
}

/** A gRPC service of a .proto file. */
function load(file: string, name: string): ServiceClientConstructor {
  let found: unknown = loadPackageDefinition(loadSync(file));
  for (const part of name.split(".")) found = (found as Record<string, unknown>)[part];
  return found as ServiceClientConstructor;
}
