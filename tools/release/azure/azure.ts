// What the release tool needs from Azure. resource-manager.ts implements it; the rest of the tool knows only this.
import type { Counts } from "../core/judge.ts";

/** An app as Azure shows it. Azure is eventually consistent: what it shows can be older than the last write. */
export interface App {
  readonly mode: "Single" | "Multiple" | "Labels";
  /** Azure still applies an earlier write. */
  readonly isBusy: boolean;
  readonly traffic: readonly Share[];
  readonly tags: Readonly<Record<string, string>>;
  /** In the order of their creation. */
  readonly revisions: readonly Revision[];
  /** What the traffic for the latest revision reaches; undefined when no revision is ready. */
  readonly latestReadyRevision: string | undefined;
  /** Domain of the app's addresses: the label green of welcome answers at `https://welcome---green.DOMAIN`. */
  readonly domain: string | undefined;
  /** Addresses outside the environment can reach the app. */
  readonly isExternal: boolean;
  /** Requests of one caller stay with one revision. */
  readonly hasAffinity: boolean;
  /** Names of the secrets that the app has. */
  readonly secrets: readonly string[];
  /** The last change failed, and why, as far as Azure says it. A change that failed can leave its template behind. */
  readonly failure: string | undefined;
}

export interface Share {
  /** undefined: the latest revision that is ready */
  readonly revision: string | undefined;
  readonly weight: number;
  readonly label?: string;
}

export interface Revision {
  readonly name: string;
  readonly isActive: boolean;
  /** `unknown` also stands for every state that Azure does not document. It means wait, never ready. */
  readonly health: "healthy" | "unhealthy" | "unknown";
  /** e.g. Running, Processing, Degraded, Failed, ActivationFailed, with Azure's reason: for messages. */
  readonly state: string;
  /** Milliseconds since 1970. */
  readonly createdAt: number;
  /** Refers to secrets by the names that the app has, if Azure shows which. */
  readonly template: Template;
}

/** https://learn.microsoft.com/azure/templates/microsoft.app/containerapps#template */
export interface Template {
  readonly revisionSuffix?: string;
  readonly containers: readonly Container[];
  readonly scale?: { readonly minReplicas?: number; readonly rules?: readonly Readonly<Record<string, unknown>>[] };
  readonly [other: string]: unknown;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly env?: readonly Readonly<Record<string, string>>[];
  readonly [other: string]: unknown;
}

export interface Replica {
  readonly name: string;
  readonly isReady: boolean;
  readonly restarts: number;
  /** Why it is not ready, as far as Azure says it, such as CrashLoopBackOff. */
  readonly details?: string;
}

/** A write. Azure replaces each part that is named as a whole, and keeps the others. */
export interface Change {
  readonly mode?: "Multiple";
  readonly traffic?: readonly Share[];
  readonly tags?: Readonly<Record<string, string>>;
  readonly template?: Template;
}

/** Requests that arrived from `from` to `to`, in milliseconds since 1970, by name of the revision. */
export type RequestCounts = ReadonlyMap<string, Counts>;

export interface Azure {
  /** The time of Azure, from its last response, in milliseconds since 1970: the clocks of two runners can differ. */
  now(): number;
  readApp(): Promise<App>;
  readReplicas(revision: string): Promise<readonly Replica[]>;
  /** Counts by whole minutes inside the window. bad: 5xx. */
  countErrors(from: number, to: number): Promise<RequestCounts>;
  /** bad: requests that took longer than `over` seconds. */
  countSlow(from: number, to: number, over: number): Promise<RequestCounts>;
  /**
   * Sends a write once. When it rejects with `unreachable`, Azure may have accepted it: read the app.
   *
   * @param check called right before the request is sent, when the sign-in is done; what it throws stops the write
   * @throws AzureFault
   */
  patch(change: Change, check?: () => void): Promise<void>;
  /** As patch. */
  setActive(revision: string, active: boolean, check?: () => void): Promise<void>;
}

/**
 * busy: Azure has another operation on this app, or limits the rate. unreachable: no response, or 5xx. denied: no
 * sign-in, or no role. missing: no such app. rejected: Azure does not accept the content.
 */
export type FaultKind = "busy" | "unreachable" | "denied" | "missing" | "rejected";

export class AzureFault extends Error {
  readonly kind: FaultKind;
  /** Seconds; from the header Retry-After. */
  readonly retryAfter: number | undefined;
  /** @param message sentences; the last one gets its period */
  constructor(kind: FaultKind, message: string, retryAfter?: number, options?: ErrorOptions) {
    super(message.endsWith(".") ? message : `${message}.`, options);
    this.kind = kind;
    this.retryAfter = retryAfter;
  }
}
