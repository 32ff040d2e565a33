import type { DefaultAzureCredential, TokenCredential } from "@azure/identity";
import { withTimeout } from "../../runtime/timeout.ts";
import { createCached } from "../cached.ts";
import { AzureError } from "./error.ts";

interface CredentialOptions {
  /** What tokens are for, e.g. `https://management.azure.com`. */
  readonly resource: string;
  /** Client id of a user-assigned identity; "": the system-assigned one. */
  readonly clientId: string;
  /** Origin of Entra ID. */
  readonly authorityHost: string;
  /** Longest a caller waits for a token, and longest wait for one answer on the way to it, in milliseconds. */
  readonly timeoutMs: number;
  /** Told of every search for a token. */
  readonly observe: (outcome: "ok" | AzureError["kind"], seconds: number) => void;
}

interface Token {
  readonly token: string;
  /** Milliseconds since 1970. */
  readonly expiresOnTimestamp: number;
}

/** Whatever the scopes asked for, tokens are for the one resource. */
export interface Credential extends TokenCredential {
  /** @throws {AzureError} */
  getToken: (scopes: string | string[], options?: { readonly claims?: string }) => Promise<Token>;
}

/** Authorities that Entra ID itself vouches for. https://learn.microsoft.com/entra/identity-platform/authentication-national-cloud */
const KNOWN_AUTHORITIES = /^https:\/\/login\.(microsoftonline\.(com|us)|chinacloudapi\.cn)\/?$/;

/** As the SDK's own clients do. */
const RENEW_BEFORE_MS = 120_000;
const HOLD_MS = 1_000;
/** `az` and its like take a second or two; one that hangs must not keep the chain from ever ending. */
const PROCESS_TIMEOUT_MS = 10_000;

/**
 * DefaultAzureCredential of @azure/identity, made when a token is first asked for. What is mended around it:
 * - It has no time-out and retries for up to a minute: callers wait `timeoutMs`, while the search goes on for the next.
 * - It starts processes or probes the network for every token: tokens are kept until shortly before they expire.
 * - Its errors are paragraphs: one line for each credential tried.
 */
export function createCredential(options: CredentialOptions): Credential {
  const { resource, timeoutMs, observe } = options;
  const scope = `${resource}/.default`;
  let chain: Promise<DefaultAzureCredential> | undefined;
  let challenge: string | undefined;
  /** What did not answer during a search, by origin: of the causes of its errors the SDK tells nothing. */
  const unreached = new Map<string, string>();

  const tokens = createCached<Token>({
    load,
    freshUntil: ({ expiresOnTimestamp }) => expiresOnTimestamp - RENEW_BEFORE_MS,
    usableUntil: ({ expiresOnTimestamp }) => expiresOnTimestamp,
    holdMs: () => HOLD_MS,
  });

  async function load(): Promise<Token> {
    const started = performance.now();
    const claims = challenge;
    challenge = undefined;
    unreached.clear();
    let outcome: "ok" | AzureError["kind"] = "ok";
    try {
      chain ??= connect(options, unreached);
      return await (await chain).getToken(scope, { enableCae: true, ...(claims ? { claims } : {}) });
    } catch (error) {
      const explained = explain(error, unreached);
      outcome = explained.kind;
      throw explained;
    } finally {
      observe(outcome, (performance.now() - started) / 1000);
    }
  }

  async function current(): Promise<Token> {
    const renewed = tokens.get().then(({ value }) => value);
    const { held } = tokens;
    if (!held || held.expiresOnTimestamp <= Date.now()) return within(timeoutMs, renewed);
    renewed.catch(() => {}); // it need not be now: the one we have is still good
    return held;
  }

  return {
    async getToken(_scopes, { claims } = {}) {
      challenge ??= claims;
      const { token } = claims === undefined ? await current() : await within(timeoutMs, tokens.refresh());
      // The SDK's clients keep tokens too, but retry every 3 s and then reject where nobody listens, which ends the
      // process. With one that is over at once they ask here each time.
      return { token, expiresOnTimestamp: 0 };
    },
  };
}

async function connect(
  { clientId, authorityHost, timeoutMs }: CredentialOptions,
  unreached: Map<string, string>,
): Promise<DefaultAzureCredential> {
  const [{ DefaultAzureCredential }, http] = await Promise.all([
    import("@azure/identity"),
    createHttpClient(timeoutMs),
  ]);
  return new DefaultAzureCredential({
    ...(clientId ? { managedIdentityClientId: clientId, workloadIdentityClientId: clientId } : {}),
    authorityHost,
    // Azure Stack and private clouds are not on the list that would be asked for otherwise.
    disableInstanceDiscovery: !KNOWN_AUTHORITIES.test(authorityHost),
    retryOptions: { maxRetries: 0 },
    processTimeoutInMs: PROCESS_TIMEOUT_MS,
    httpClient: {
      sendRequest: (request) =>
        http.sendRequest(request).catch((error) => {
          const { name, code = "unknown" } = Object(error);
          unreached.set(new URL(request.url).origin, name === "AbortError" ? `${request.timeout} ms are over` : code);
          throw error;
        }),
    },
  });
}

/** The SDK's own transport, with a time-out for each request: the clients themselves have none. */
export async function createHttpClient(timeoutMs: number) {
  const { createDefaultHttpClient } = await import("@azure/core-rest-pipeline");
  const client = createDefaultHttpClient();
  return {
    sendRequest(request: Parameters<typeof client.sendRequest>[0]) {
      request.timeout ||= timeoutMs; // the probe for IMDS has its own
      return client.sendRequest(request);
    },
  };
}

function within<T>(timeoutMs: number, work: Promise<T>): Promise<T> {
  const message = `No credential has given a token within ${timeoutMs} ms`;
  const advice = "The search goes on; ask again to see how it ended.";
  return withTimeout(work, timeoutMs, () => new AzureError("credential-slow", message, advice));
}

const REACH = "Look at the network and at AZURE_AUTHORITY_HOST; NODE_EXTRA_CA_CERTS names the file of a private CA.";

const SIGN_IN =
  "On your own machine: az login. In Azure: assign a managed identity to the app, and set AZURE_CLIENT_ID if it is a " +
  "user-assigned one. In Kubernetes: a service account with workload identity.";

function explain(error: unknown, unreached: ReadonlyMap<string, string>): AzureError {
  const { name, errors = [error] } = Object(error);
  const failures = [...unreached].map(([origin, reason]) => `${origin} does not answer: ${reason}`);
  const reasons = [...errors.map(reasonOf), ...failures].map((reason) => `- ${reason}`).join("\n");
  if (name !== "AuthenticationError") {
    const advice = `${SIGN_IN} What was tried:\n${reasons}`;
    return new AzureError("no-credential", "No credential for Azure gives a token", advice, { cause: error });
  }
  if (failures.length > 0) {
    const advice = `${REACH}\n${reasons}`;
    return new AzureError("azure-unreachable", "Entra ID does not answer", advice, { cause: error });
  }
  const advice = `Mend the credential that was tried, or unset its variables to try others:\n${reasons}`;
  return new AzureError("credential-refused", "Entra ID refuses the credential", advice, { cause: error });
}

/** One line. The SDK's messages name the credential, and drag along addresses, headers and trace ids. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message
    .replaceAll(/\s+/g, " ")
    .replace(/ To (troubleshoot|mitigate).*?https:\S+/, "")
    .replace(/(Please visit|See (the troubleshooting|https:)|Trace ID:|Headers:).*/, "")
    .trim()
    .slice(0, 300);
}
