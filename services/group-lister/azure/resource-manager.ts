import type { ResourceGroup as AzureGroup } from "@azure/arm-resources";
import type { Listing, ResourceGroup } from "../groups.ts";
import { type Credential, createHttpClient } from "./credential.ts";
import { AzureError } from "./error.ts";

interface ResourceManagerOptions {
  /** e.g. `https://management.azure.com` */
  readonly origin: string;
  /** "": the first one that the identity sees. */
  readonly subscriptionId: string;
  readonly credential: Credential;
  /** Longest wait for one answer, in milliseconds. */
  readonly timeoutMs: number;
  /** Told of every request to Azure Resource Manager. */
  readonly observe: (outcome: "ok" | AzureError["kind"], seconds: number) => void;
  /** Told which subscription was found when none was given. */
  readonly found: (subscription: { readonly id: string; readonly name: string }) => void;
}

/** A subscription has at most 980 groups: more pages than this are links that go round in circles. */
const MAX_PAGES = 100;

/**
 * Lists all resource groups of a subscription, through @azure/arm-resources; rejects with an AzureError.
 *
 * What the SDK leaves open is closed in the HTTP client it is given: it follows a link to the next page wherever that
 * points and sends the token along, it has no time-out, and of a refused page it keeps neither Azure's words nor headers.
 */
export function createResourceManager(options: ResourceManagerOptions): () => Promise<Listing> {
  const { origin, credential, timeoutMs, observe, found } = options;
  let connected: ReturnType<typeof connect> | undefined;
  let subscriptionId = options.subscriptionId;
  let sampleData: string | undefined;

  /** On first use, because loading the SDK takes longer than all else that the service does before it listens. */
  async function connect() {
    const [{ ResourceManagementClient }, { SubscriptionClient }, http] = await Promise.all([
      import("@azure/arm-resources"),
      import("@azure/arm-resources-subscriptions"),
      createHttpClient(timeoutMs),
    ]);
    type Request = Parameters<typeof http.sendRequest>[0];

    async function send(request: Request) {
      if (new URL(request.url).origin !== origin) throw misunderstood("a link to another host");
      const response = await http.sendRequest(request).catch((error) => {
        throw unreached(error, options);
      });
      // 401 is for the SDK: when it comes with a claims challenge, another token may do.
      if (response.status !== 200 && response.status !== 401) throw refusal(response, subscriptionId);
      sampleData = response.headers.get("Sample-Data");
      return response;
    }

    async function sendRequest(request: Request) {
      const started = performance.now();
      let outcome: "ok" | AzureError["kind"] = "ok";
      try {
        const response = await send(request);
        if (response.status === 401) outcome = "token-refused";
        return response;
      } catch (error) {
        outcome = error instanceof AzureError ? error.kind : "azure-failed";
        throw error;
      } finally {
        observe(outcome, (performance.now() - started) / 1000);
      }
    }

    // What send throws is not retried by the SDK: callers try again, and are told when.
    const clientOptions = { endpoint: origin, httpClient: { sendRequest } };
    return {
      subscriptions: () => new SubscriptionClient(credential, clientOptions).subscriptions.list(),
      groups: (id: string) =>
        new ResourceManagementClient(credential, id, clientOptions).resourceGroups.list().byPage(),
    };
  }

  type Azure = Awaited<ReturnType<typeof connect>>;

  async function discover(azure: Azure): Promise<string> {
    for await (const { subscriptionId: id, displayName: name = "", state } of azure.subscriptions()) {
      if (id === undefined || state !== "Enabled") continue;
      found({ id, name });
      return id;
    }
    const advice = `Give it the role Reader on one: ${assignReader("/subscriptions/SUBSCRIPTION-ID", "OBJECT-ID")}`;
    throw new AzureError("forbidden", "The identity sees no subscription", advice);
  }

  async function list(azure: Azure): Promise<ResourceGroup[]> {
    const groups: ResourceGroup[] = [];
    let pages = 0;
    for await (const page of azure.groups(subscriptionId)) {
      groups.push(...page.map(toGroup));
      if (++pages > MAX_PAGES) throw misunderstood("a list without an end");
    }
    return groups;
  }

  return async () => {
    connected ??= connect();
    const azure = await connected;
    try {
      subscriptionId ||= await discover(azure);
      return { groups: await list(azure), sampleData };
    } catch (error) {
      subscriptionId = options.subscriptionId; // what was found may be gone
      throw explain(error);
    }
  };
}

function toGroup({ name, location, tags = {}, properties }: AzureGroup): ResourceGroup {
  if (name === undefined) throw misunderstood("a resource group without a name");
  return { name, location, tags, provisioningState: properties?.provisioningState };
}

interface Refusal {
  readonly status: number;
  readonly bodyAsText?: string | null;
  readonly headers: { get(name: string): string | undefined };
}

/** Azure's answer in words for whoever runs the service; Azure's own are the cause, for the log. */
function refusal({ status, bodyAsText, headers }: Refusal, subscriptionId: string): AzureError {
  const { code = "", message = "" } = errorOf(bodyAsText);
  const requestId = headers.get("x-ms-request-id") ?? "unknown";
  const cause = new Error(`Azure Resource Manager answered ${status} ${code}: ${message} (request ${requestId})`);
  const scope = `/subscriptions/${subscriptionId}`;
  switch (status) {
    case 403: {
      const [, objectId = "OBJECT-ID"] = /object id '([^']+)'/.exec(message) ?? [];
      return new AzureError(
        "forbidden",
        `The identity lacks the role Reader on ${scope}`,
        `A new role takes some minutes to be in force. ${assignReader(scope, objectId)}`,
        { cause },
      );
    }
    case 404:
      return new AzureError(
        "no-such-subscription",
        `The identity's tenant has no subscription ${subscriptionId}`,
        "Look at AZURE_SUBSCRIPTION_ID; az account list --output table shows the ones you see.",
        { cause },
      );
    case 429:
      return new AzureError("throttled", "Azure Resource Manager asks for fewer requests", "Try again later.", {
        cause,
        retryAt: retryAt(headers.get("Retry-After")),
      });
    default:
      return new AzureError(
        "azure-failed",
        `Azure Resource Manager answers ${[status, code].join(" ").trim()}`,
        "Try again; https://azure.status.microsoft says whether others see it too.",
        { cause, retryAt: retryAt(headers.get("Retry-After")) },
      );
  }
}

/** What the SDK throws by itself: a token refused, and answers that are not lists. */
function explain(error: unknown): unknown {
  const { statusCode, code } = Object(error);
  if (error instanceof AzureError) return error;
  if (statusCode === 401) {
    return new AzureError(
      "token-refused",
      `Azure Resource Manager refuses the token (${code})`,
      "Look at AZURE_AD_RESOURCE, AZURE_ENVIRONMENT and the subscription's tenant. A managed identity's token is kept " +
        "until it expires: after the identity was made anew, restart the service.",
      { cause: error },
    );
  }
  return misunderstood("what is not a list", error);
}

function misunderstood(what: string, cause?: unknown): AzureError {
  const message = `Azure Resource Manager answers with ${what}`;
  return new AzureError("azure-failed", message, "Look at AZURE_RESOURCE_MANAGER_ENDPOINT.", { cause });
}

function unreached(error: unknown, { origin, timeoutMs }: ResourceManagerOptions): AzureError {
  const { name, code = "unknown" } = Object(error);
  if (name === "AbortError") {
    const message = `Azure Resource Manager gave no answer within ${timeoutMs} ms`;
    return new AzureError("azure-timeout", message, "Try again.", { cause: error });
  }
  return new AzureError(
    "azure-unreachable",
    `No Azure Resource Manager answers at ${origin} (${code})`,
    "Look at the network and at AZURE_RESOURCE_MANAGER_ENDPOINT; NODE_EXTRA_CA_CERTS names the file of a private CA.",
    { cause: error },
  );
}

function assignReader(scope: string, objectId: string): string {
  return `az role assignment create --role Reader --scope ${scope} --assignee-object-id ${objectId}`;
}

function errorOf(body: string | null | undefined): { code?: string; message?: string } {
  try {
    return Object(JSON.parse(body ?? "").error);
  } catch {
    return {}; // a proxy's page, not Azure's
  }
}

/** Seconds or a date, RFC 9110 §10.2.3; in milliseconds since 1970. */
function retryAt(header: string | undefined): number | undefined {
  const at = Number.isFinite(Number(header)) ? Date.now() + Number(header) * 1000 : Date.parse(header ?? "");
  return Number.isFinite(at) ? at : undefined;
}
