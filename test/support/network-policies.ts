// Decides whether NetworkPolicies allow a connection, as a network plugin does:
// https://kubernetes.io/docs/concepts/services-networking/network-policies/
import { BlockList } from "node:net";

interface LabelSelector {
  readonly matchLabels?: Readonly<Record<string, string>>;
  readonly matchExpressions?: readonly {
    readonly key: string;
    readonly operator: string;
    readonly values?: string[];
  }[];
}

interface Peer {
  readonly podSelector?: LabelSelector;
  readonly namespaceSelector?: LabelSelector;
  readonly ipBlock?: { readonly cidr: string; readonly except?: readonly string[] };
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly protocol?: string; readonly port?: number }[];
}

export interface NetworkPolicy {
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly spec: {
    readonly podSelector: LabelSelector;
    readonly policyTypes: readonly string[];
    readonly ingress?: readonly Rule[];
    readonly egress?: readonly Rule[];
  };
}

/** A pod of the cluster, or an address outside it. */
export type Endpoint =
  | { readonly namespace: string; readonly labels: Readonly<Record<string, string>> }
  | { readonly address: string };

interface Connection {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly port: number;
  readonly protocol?: "TCP" | "UDP";
}

/** True when the sender's policies allow the connection and the receiver's do, too. */
export function allows(policies: readonly NetworkPolicy[], connection: Connection): boolean {
  const { from, to } = connection;
  return isOpen(policies, "Egress", from, to, connection) && isOpen(policies, "Ingress", to, from, connection);
}

/** True when no policy of this direction selects the pod, or a rule of one that does allows the other end. */
function isOpen(
  policies: readonly NetworkPolicy[],
  direction: "Ingress" | "Egress",
  pod: Endpoint,
  other: Endpoint,
  connection: Connection,
): boolean {
  if ("address" in pod) return true;
  const own = policies.filter(
    ({ metadata, spec }) =>
      metadata.namespace === pod.namespace &&
      spec.policyTypes.includes(direction) &&
      matches(spec.podSelector, pod.labels),
  );
  return (
    own.length === 0 ||
    own.some(({ spec }) =>
      (direction === "Ingress" ? spec.ingress : spec.egress)?.some(
        (rule) => matchesPort(rule, connection) && matchesPeer(rule.from ?? rule.to, pod.namespace, other),
      ),
    )
  );
}

function matchesPort({ ports }: Rule, { port, protocol = "TCP" }: Connection): boolean {
  if (!ports) return true;
  return ports.some((allowed) => {
    if (allowed.port !== undefined && typeof allowed.port !== "number")
      throw new Error("named ports are not supported");
    return (allowed.protocol ?? "TCP") === protocol && (allowed.port === undefined || allowed.port === port);
  });
}

/** @param namespace of the policy: a peer without a namespaceSelector is in it */
function matchesPeer(peers: readonly Peer[] | undefined, namespace: string, other: Endpoint): boolean {
  if (!peers?.length) return true;
  return peers.some(({ podSelector = {}, namespaceSelector, ipBlock }) => {
    if ("address" in other) return ipBlock !== undefined && contains(ipBlock, other.address);
    if (ipBlock) return false; // plugins differ on pod addresses; the policies of this suite select pods by labels
    const isInNamespace = namespaceSelector
      ? matches(namespaceSelector, { "kubernetes.io/metadata.name": other.namespace })
      : other.namespace === namespace;
    return isInNamespace && matches(podSelector, other.labels);
  });
}

function contains({ cidr, except = [] }: NonNullable<Peer["ipBlock"]>, address: string): boolean {
  const isIn = (range: string) => {
    const [network = "", prefix] = range.split("/");
    const list = new BlockList();
    list.addSubnet(network, Number(prefix));
    return list.check(address);
  };
  return isIn(cidr) && !except.some(isIn);
}

function matches({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Readonly<Record<string, string>>) {
  return (
    Object.entries(matchLabels).every(([key, value]) => labels[key] === value) &&
    matchExpressions.every(({ key, operator, values = [] }) => {
      if (operator !== "In") throw new Error(`the operator ${operator} is not supported`);
      return values.includes(labels[key] ?? "");
    })
  );
}
