// What the page is told. Types only: the page imports them too, and a browser has nothing to load here.

/** `GET /api/version` */
export interface Version {
  readonly message: string;
  /** Revision on Container Apps, pod template hash on Kubernetes, else `local`. */
  readonly version: string;
  /** Name of the replica that answered, `local` outside of both. */
  readonly replica: string;
}

/** `unknown`: nobody who could know was reached. */
export type Condition = "up" | "not ready" | "no answer" | "unknown";

/** `GET /api/health` answers one for each service. */
export interface Health {
  readonly appId: string;
  readonly service: Condition;
  readonly sidecar: Condition;
  /** Why, unless both are up. */
  readonly reason?: string | undefined;
}

/** The parts of RFC 9457 problem details that the page shows. */
export interface ProblemDetails {
  readonly title: string;
  readonly detail?: string;
  readonly traceId?: string;
}

/** `GET /api/groups`, as group-lister's `GET /groupz?details=true` answers it. */
export interface Group {
  readonly name: string;
  readonly location: string;
  readonly provisioningState?: string;
}
