import type { DefaultAzureCredential, TokenCredential } from "@azure/identity";
import { withTimeout } from "../../runtime/timeout.ts";
import { createCached } from "../cached.ts";
import { credentialTimeout, explainCredentialError } from "./credential-error.ts";
import type { Observe } from "./error.ts";
import { createHttpClient, failureOf } from "./http.ts";

interface CredentialOptions {
  /** The resource that tokens are for, e.g. `https://management.azure.com`. */
  readonly resource: string;
  /** Client id of a user-assigned identity; "": the system-assigned identity. */
  readonly clientId: string;
  /** Origin of Entra ID. */
  readonly authorityHost: string;
  /** Maximum time that a caller waits for a token, and timeout of each request for one, in milliseconds. */
  readonly timeoutMs: number;
  /** Called after every search for a token. */
  readonly observe: Observe;
}

interface Token {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresOnTimestamp: number;
}

/** Returns tokens for `resource` and ignores the requested scopes. */
export interface Credential extends TokenCredential {
  /** @throws {AzureError} */
  getToken: (scopes: string | string[], options?: { readonly claims?: string }) => Promise<Token>;
}

/** Authorities that Entra ID recognizes. https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud */
const KNOWN_AUTHORITIES = /^https:\/\/login\.(microsoftonline\.(com|us)|chinacloudapi\.cn)\/?$/;

/** The same as in the SDK's own clients. */
const RENEW_BEFORE_MS = 120_000;
const HOLD_MS = 1_000;
/** `az` and similar tools take a second or two. The limit stops one that hangs from blocking the chain forever. */
const PROCESS_TIMEOUT_MS = 10_000;

/**
 * DefaultAzureCredential of @azure/identity, created when the first token is requested, with three changes:
 * - It has no timeout and retries for up to a minute. Callers wait `timeoutMs`; the search continues for the next
 *   caller.
 * - It starts processes or probes the network for every token. Tokens are kept until shortly before they expire.
 * - Its error messages are paragraphs. They become one line for each credential tried.
 */
export function createCredential(options: CredentialOptions): Credential {
  const { resource, timeoutMs, observe } = options;
  const scope = `${resource}/.default`;
  const requiredClaims = createRequiredClaims();
  let chain: Promise<DefaultAzureCredential> | undefined;
  /** Failure by origin that did not respond during a search. The SDK's errors do not carry their causes. */
  const unreachable = new Map<string, string>();

  const tokens = createCached<Token>({
    load: search,
    freshUntil: ({ expiresOnTimestamp }) => expiresOnTimestamp - RENEW_BEFORE_MS,
    usableUntil: ({ expiresOnTimestamp }) => expiresOnTimestamp,
    holdMs: () => HOLD_MS,
  });

  async function search(): Promise<Token> {
    const started = performance.now();
    const claims = requiredClaims.take();
    unreachable.clear();
    let outcome: Parameters<Observe>[0] = "ok";
    try {
      chain ??= connect(options, unreachable);
      return await (await chain).getToken(scope, { enableCae: true, ...claims });
    } catch (error) {
      const explained = explainCredentialError(error, unreachable);
      outcome = explained.kind;
      throw explained;
    } finally {
      observe(outcome, (performance.now() - started) / 1000);
    }
  }

  async function current(): Promise<Token> {
    const renewal = tokens.get();
    const { held } = tokens;
    if (held && Date.now() < held.expiresOnTimestamp) {
      renewal.catch(() => {}); // the held token is still good; a later request renews it
      return held;
    }
    return waitFor(renewal);
  }

  async function waitFor(search: Promise<{ readonly value: Token }>): Promise<Token> {
    return (await withTimeout(search, timeoutMs, () => credentialTimeout(timeoutMs))).value;
  }

  return bypassSdkCache({
    getToken(_scopes, { claims } = {}) {
      if (claims === undefined) return current();
      requiredClaims.add(claims);
      return waitFor(tokens.refresh(0));
    },
  });
}

/**
 * Holds the claims that Azure Resource Manager requires in the next token, for example because it has revoked the
 * present one, until the next search, which passes them to Entra ID once.
 * https://learn.microsoft.com/entra/identity-platform/claims-challenge
 */
function createRequiredClaims() {
  let required: string | undefined;
  return {
    add(claims: string): void {
      required ??= claims;
    },
    take(): { claims?: string } {
      const claims = required;
      required = undefined;
      return claims === undefined ? {} : { claims };
    },
  };
}

/**
 * Makes the SDK's clients call `getToken` before every request. They would keep a token that is still valid, retry its
 * renewal every 3 s, and reject a promise that has no handler, which ends the process. They do not keep expired tokens,
 * so each token is declared expired; its real expiry stays with the cache of `createCredential`.
 */
function bypassSdkCache({ getToken }: Credential): Credential {
  return {
    async getToken(scopes, options) {
      const { token } = await getToken(scopes, options);
      return { token, expiresOnTimestamp: 0 };
    },
  };
}

async function connect(
  { clientId, authorityHost, timeoutMs }: CredentialOptions,
  unreachable: Map<string, string>,
): Promise<DefaultAzureCredential> {
  const [{ DefaultAzureCredential }, http] = await Promise.all([
    import("@azure/identity"),
    createHttpClient(timeoutMs),
  ]);
  return new DefaultAzureCredential({
    ...(clientId ? { managedIdentityClientId: clientId, workloadIdentityClientId: clientId } : {}),
    authorityHost,
    // Instance discovery queries the public cloud, which does not know the authorities of Azure Stack and private
    // clouds.
    disableInstanceDiscovery: !KNOWN_AUTHORITIES.test(authorityHost),
    retryOptions: { maxRetries: 0 },
    processTimeoutInMs: PROCESS_TIMEOUT_MS,
    httpClient: {
      sendRequest: (request) =>
        http.sendRequest(request).catch((error) => {
          const failure = failureOf(error);
          const reason = failure === "timeout" ? `timeout after ${request.timeout} ms` : failure;
          unreachable.set(new URL(request.url).origin, reason);
          throw error;
        }),
    },
  });
}
