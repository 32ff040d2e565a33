// The JSON that welcome's /api returns. Types only: app.ts and the page import them.

/** `GET /api/version` */
export interface Version {
  readonly message: string;
  /** Revision on Container Apps, pod template hash on Kubernetes, `local` elsewhere. */
  readonly version: string;
  /** Name of the replica or pod that responded, `local` elsewhere. */
  readonly replica: string;
}

/** `GET /api/sign-in`: whether callers must sign in, and how. */
export type SignInSettings =
  | { readonly required: false }
  | {
      readonly required: true;
      readonly clientId: string;
      /** Origin of Entra ID and the tenant. */
      readonly authority: string;
      readonly scope: string;
    };

/** `unknown`: the request failed before it reached the service or sidecar. */
export type HealthStatus = "up" | "not ready" | "no response" | "unknown";

/** `GET /api/health` returns one for each service. */
export interface Health {
  readonly appId: string;
  readonly service: HealthStatus;
  readonly sidecar: HealthStatus;
  /** Set unless both are up. */
  readonly reason?: string | undefined;
}

/** `GET /api/secret`: the form in which a secret arrived, without its value. */
export interface SecretStatus {
  readonly name: string;
  /** The mounted file, with the time since its last change. */
  readonly mounted?: { readonly bytes: number; readonly ageSeconds: number };
  /** System error code when the file cannot be read, such as `ENOENT`. */
  readonly notMounted?: string;
  /** The environment variable, which is as old as the process. */
  readonly synced?: { readonly bytes: number } | undefined;
  /** True when the file and the variable differ: the secret was rotated after the process started. */
  readonly restartNeeded: boolean;
}

/** The fields of RFC 9457 problem details that the page shows. */
export interface ProblemDetails {
  readonly title: string;
  readonly detail?: string;
  readonly traceId?: string;
}

/** One item of `GET /api/groups`, from group-lister's `GET /groupz?details=true`. */
export interface Group {
  readonly name: string;
  readonly location: string;
  readonly provisioningState?: string;
}
