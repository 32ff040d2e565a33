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

/** `GET /api/secret`: how a secret has arrived, never what it says. */
export interface Secret {
  readonly name: string;
  /** As a file; its age is the time since it last changed. */
  readonly mounted?: { readonly bytes: number; readonly ageSeconds: number };
  /** Why there is no such file: the system's code, `ENOENT` for one. */
  readonly notMounted?: string;
  /** As a variable, which is as old as the process. */
  readonly synced?: { readonly bytes: number } | undefined;
  /** The file was rotated since the process started: the variable still has the old value. */
  readonly restartNeeded: boolean;
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
