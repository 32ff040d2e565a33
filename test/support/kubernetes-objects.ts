// The parts of Kubernetes objects that the cluster tests read.

export interface KubernetesObject {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly deletionTimestamp?: string;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly labels?: Readonly<Record<string, string>>;
  };
}

export interface Pod extends KubernetesObject {
  readonly spec: {
    readonly nodeName: string;
    readonly serviceAccountName: string;
    readonly volumes: readonly Volume[];
    readonly initContainers?: readonly Container[];
    readonly containers: readonly Container[];
  };
  readonly status: {
    readonly phase?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly env?: readonly Variable[];
  readonly envFrom?: readonly { readonly configMapRef: { readonly name: string } }[];
  readonly ports?: readonly { readonly containerPort: number }[];
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[];
}

export interface Variable {
  readonly name: string;
  readonly value?: string;
  readonly valueFrom?: {
    readonly secretKeyRef?: Key;
    readonly configMapKeyRef?: Key;
    readonly fieldRef?: { readonly fieldPath: string };
  };
}

/** A key of a Secret or a ConfigMap. */
interface Key {
  readonly name: string;
  readonly key: string;
}

interface Volume {
  readonly name: string;
  readonly configMap?: { readonly name: string };
  readonly csi?: { readonly readOnly: boolean; readonly volumeAttributes: Readonly<Record<string, string>> };
  readonly projected?: {
    readonly sources: readonly { readonly serviceAccountToken?: { readonly audience: string } }[];
  };
}
