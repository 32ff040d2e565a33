// Gets tokens for Azure: in GitHub Actions by its OpenID Connect, elsewhere like DefaultAzureCredential.
import { createCredential } from "../../../services/group-lister/azure/credential.ts";
import { AzureError } from "../../../services/group-lister/azure/error.ts";
import { createHttpClient } from "../../../services/group-lister/azure/http.ts";
import { field } from "../../../services/runtime/field.ts";
import { AzureFault } from "./azure.ts";

/** @param isRejected Azure did not accept the last token */
export type GetToken = (options: { readonly isRejected: boolean }) => Promise<string>;

export interface SignInOptions {
  /** The resource that tokens are for, such as `https://management.azure.com`. */
  readonly resource: string;
  /** Origin of Entra ID. */
  readonly authorityHost: string;
  readonly env: NodeJS.ProcessEnv;
}

interface Token {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresOnTimestamp: number;
}

/** Milliseconds. */
const TIMEOUT = 10_000;
const RENEW_BEFORE = 120_000;

export function createSignIn(options: SignInOptions): GetToken {
  const load = hasActionsToken(options.env) ? signInFromActions(options) : signInByDefault(options);
  let held: Token | undefined;
  return async ({ isRejected }) => {
    if (held === undefined || isRejected || held.expiresOnTimestamp - RENEW_BEFORE < Date.now()) {
      held = await load(isRejected).catch((error: unknown) => {
        throw explain(error, options.env);
      });
    }
    return held.token;
  };
}

function signInByDefault({ resource, authorityHost, env }: SignInOptions) {
  const create = () =>
    createCredential({
      resource,
      clientId: env.AZURE_CLIENT_ID ?? "",
      authorityHost,
      timeoutMs: TIMEOUT,
      observe: () => {},
    });
  let credential = create();
  return async (isRejected: boolean): Promise<Token> => {
    if (isRejected) credential = create(); // it would return the same token again
    const { token } = await credential.getToken([]);
    // createCredential keeps the token, and renews it in time.
    return { token, expiresOnTimestamp: 0 };
  };
}

function hasActionsToken(env: NodeJS.ProcessEnv): boolean {
  const { ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, AZURE_CLIENT_ID, AZURE_TENANT_ID } = env;
  return [ACTIONS_ID_TOKEN_REQUEST_URL, ACTIONS_ID_TOKEN_REQUEST_TOKEN, AZURE_CLIENT_ID, AZURE_TENANT_ID].every(
    Boolean,
  );
}

/**
 * An assertion of GitHub is valid for minutes, and a release takes longer. So each token gets an assertion of its own;
 * azure/login keeps the first one.
 */
function signInFromActions({ resource, authorityHost, env }: SignInOptions) {
  const { AZURE_TENANT_ID: tenant = "", AZURE_CLIENT_ID: client = "" } = env;
  return async (): Promise<Token> => {
    const [{ ClientAssertionCredential }, http] = await Promise.all([
      import("@azure/identity"),
      createHttpClient(TIMEOUT),
    ]);
    const credential = new ClientAssertionCredential(tenant, client, () => fetchAssertion(env), {
      authorityHost,
      httpClient: http,
      disableInstanceDiscovery: true, // it would ask the public cloud about the authorities of other clouds
      retryOptions: { maxRetries: 1 },
    });
    return credential.getToken(`${resource}/.default`, { enableCae: true });
  };
}

/** https://docs.github.com/actions/reference/security/oidc#methods-for-requesting-the-oidc-token */
async function fetchAssertion(env: NodeJS.ProcessEnv): Promise<string> {
  const { ACTIONS_ID_TOKEN_REQUEST_URL = "", ACTIONS_ID_TOKEN_REQUEST_TOKEN } = env;
  const url = new URL(ACTIONS_ID_TOKEN_REQUEST_URL);
  url.searchParams.set("audience", "api://AzureADTokenExchange"); // of the public cloud: releaser-identity.bicep
  const response = await fetch(url, {
    headers: { authorization: `Bearer ${ACTIONS_ID_TOKEN_REQUEST_TOKEN}` },
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT),
  });
  const value = response.ok ? field(await response.json(), "value") : undefined;
  if (typeof value !== "string") throw new Error(`GitHub returned no identity token: ${response.status}`);
  return value;
}

function explain(error: unknown, env: NodeJS.ProcessEnv): AzureFault {
  const options = { cause: error };
  if (error instanceof AzureError) {
    const { kind, message, advice, details } = error;
    // On the machine of a person; the advice for a service names all places where one can run.
    const remedy =
      kind === "no-credential" ? "Sign in: az login" : advice.replace(/ The log has .*/, "").replace(/\.$/, "");
    const text = `${message}. ${remedy}`;
    const isUnreachable = kind === "azure-unreachable" || kind === "credential-slow";
    const hint = env.GITHUB_ACTIONS === undefined ? "" : `\n${ACTIONS_HINT}`;
    return new AzureFault(
      isUnreachable ? "unreachable" : "denied",
      [text + hint, details].filter(Boolean).join("\n"),
      undefined,
      options,
    );
  }
  const message = error instanceof Error ? error.message : String(error);
  const [code] = /AADSTS\d+/.exec(message) ?? [];
  const line = message
    .replaceAll(/\s+/g, " ")
    .replace(/ (Trace ID|To mitigate|To troubleshoot).*/, "")
    .slice(0, 300);
  if (code === undefined)
    return new AzureFault("unreachable", `The sign-in to Azure failed: ${line}`, undefined, options);
  return new AzureFault(
    "denied",
    `Entra ID rejected the sign-in. ${ACTIONS_HINT} Entra ID: ${line}`,
    undefined,
    options,
  );
}

const ACTIONS_HINT =
  "In GitHub Actions, set AZURE_CLIENT_ID and AZURE_TENANT_ID, give the job the permission id-token: write, and add a " +
  "federated credential for its branch, tag or environment.";
