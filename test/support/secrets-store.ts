// Starts the Secrets Store CSI driver as a process, with fakes on both of its sides: kubelet, which requests volumes,
// and the provider for Azure, whose Go module the module proxy does not serve.
import { mkdtempSync, readFileSync } from "node:fs";
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
import { flags } from "../../tools/processes/flags.ts";
import { at } from "./at.ts";
import { type Cluster, until } from "./cluster.ts";
import { findSource, findTools } from "./go-tools.ts";
import type { Pod } from "./kubernetes-objects.ts";

interface SecretsStore {
  /** Mounts the volume of the pod or refreshes it, as kubelet does periodically. Resolves with its folder. */
  publish(): Promise<string>;
  /**
   * Attributes of each mount request to the provider: parameters of the SecretProviderClass, and attributes of the pod.
   */
  readonly mountRequests: Record<string, string>[];
  close(): void;
}

/**
 * @param volumeName name of a volume of the pod
 * @param read returns the value of a secret in the vault
 */
export async function startSecretsStore(
  { folder, kubectl, start }: Cluster,
  pod: Pod,
  volumeName: string,
  read: (name: string) => string,
): Promise<SecretsStore> {
  const own = mkdtempSync(join(folder, "secrets-store-"));
  const driver = join(own, "csi.sock");
  const { namespace, name, uid } = pod.metadata;

  const mountRequests: Record<string, string>[] = [];
  const provider = new Server();
  const source = await findSource("dapr", "sigs.k8s.io/secrets-store-csi-driver");
  provider.addService(load(join(source, "provider/v1alpha1/service.proto"), "v1alpha1.CSIDriverProvider").service, {
    version: (_call: unknown, respond: sendUnaryData<object>) => respond(null, { version: "v1alpha1" }),
    mount: ({ request }: ServerUnaryCall<{ attributes: string }, object>, respond: sendUnaryData<object>) => {
      const attributes = JSON.parse(request.attributes);
      mountRequests.push(attributes);
      const [, path = ""] = /objectName: (\S+)/.exec(attributes.objects) ?? [];
      const contents = Buffer.from(read(path));
      respond(null, {
        objectVersion: [{ id: `secret/${path}`, version: `${mountRequests.length}` }],
        files: [{ path, mode: 0o644, contents }],
      });
    },
  });
  await new Promise<void>((resolve, reject) => {
    provider.bindAsync(`unix:${join(own, "azure.sock")}`, ServerCredentials.createInsecure(), (error) =>
      error ? reject(error) : resolve(),
    );
  });

  // The driver mounts file systems, so it runs in a mount namespace. Its files are visible at /proc/PID/root.
  const pidFile = join(own, "pid");
  const namespaced = ["--mount", "--map-root-user", "sh", "-c", 'echo $$ > "$0"; exec "$@"', pidFile];
  const driverFlags = {
    nodeid: pod.spec.nodeName,
    endpoint: `unix://${driver}`,
    "provider-volume": own,
    "additional-provider-volume-paths": own,
    "metrics-addr": "0",
    "enable-secret-rotation": true,
    "rotation-poll-interval": "1ms",
  };
  const program = join(await findTools("dapr"), "secrets-store-csi-driver");
  start("unshare", [...namespaced, program, ...flags(driverFlags)]);

  const audience = "api://AzureADTokenExchange";
  const { serviceAccountName, volumes } = pod.spec;
  const volume = volumes.find((candidate) => candidate.name === volumeName);
  if (!volume?.csi) throw new Error(`pod ${name} has no CSI volume ${volumeName}`);
  const request = {
    volumeId: "csi",
    targetPath: join(own, "pods", uid, "volumes/kubernetes.io~csi", volume.name, "mount"),
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
    mountRequests,
    close() {
      kubelet.close();
      provider.forceShutdown();
    },
  };
}

/** Loads a gRPC service from a .proto file. */
function load(file: string, name: string): ServiceClientConstructor {
  return at(loadPackageDefinition(loadSync(file)), name) as ServiceClientConstructor;
}
