import type { ResourceGroup as AzureGroup, ResourceGroupsListOptionalParams } from "@azure/arm-resources";
import type { Listing, ResourceGroup } from "../groups.ts";
import type { Credential } from "./credential.ts";
import { AzureError, type Observe } from "./error.ts";
import { createHttpClient } from "./http.ts";
import {
  assignReader,
  explainResponse,
  explainSdkError,
  explainUnreachable,
  unexpectedResponse,
} from "./resource-manager-error.ts";

interface ResourceManagerOptions {
  /** e.g. `https://management.azure.com` */
  readonly origin: string;
  /** "": the first enabled subscription that the identity can see. */
  readonly subscriptionId: string;
  readonly credential: Credential;
  /** Timeout of each request, in milliseconds. */
  readonly timeoutMs: number;
  /** Called after every request to Azure Resource Manager. */
  readonly observe: Observe;
  /** Called with the subscription that was found when none is configured. */
  readonly found: (subscription: { readonly id: string; readonly name: string }) => void;
}

/** A subscription has at most 980 groups. More pages or groups than this mean that the links form a loop. */
const MAX_PAGES = 100;
const MAX_GROUPS = 20_000;

/**
 * Lists all resource groups of a subscription through @azure/arm-resources; rejects with an AzureError.
 *
 * The HTTP client passed to the SDK adds what the SDK lacks: it rejects links to other hosts, to which the SDK would
 * send the token; it has a timeout; and it keeps the message and headers of Azure's errors, which the SDK drops.
 */
export function createResourceManager(options: ResourceManagerOptions): () => Promise<Listing> {
  const { origin, credential, timeoutMs, observe, found } = options;
  let connected: ReturnType<typeof connect> | undefined;
  let subscriptionId = options.subscriptionId;

  /** Runs on first use, because loading the SDK takes longer than the rest of the service's start. */
  async function connect() {
    const [{ ResourceManagementClient }, { SubscriptionClient }, http] = await Promise.all([
      import("@azure/arm-resources"),
      import("@azure/arm-resources-subscriptions"),
      createHttpClient(timeoutMs),
    ]);
    type Request = Parameters<typeof http.sendRequest>[0];

    async function send(request: Request) {
      if (new URL(request.url).origin !== origin) throw unexpectedResponse("a link to another host");
      const response = await http.sendRequest(request).catch((error) => {
        throw explainUnreachable(error, origin, timeoutMs);
      });
      // The SDK handles 401: after a claims challenge it retries with another token.
      if (response.status !== 200 && response.status !== 401) throw explainResponse(response, subscriptionId);
      return response;
    }

    async function sendRequest(request: Request) {
      const started = performance.now();
      let outcome: Parameters<Observe>[0] = "ok";
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

    // The SDK does not retry errors thrown by its HTTP client. Callers retry, and Retry-After tells them when.
    const clientOptions = { endpoint: origin, httpClient: { sendRequest } };
    return {
      subscriptions: () => new SubscriptionClient(credential, clientOptions).subscriptions.list(),
      groups: (id: string, listOptions: ResourceGroupsListOptionalParams) =>
        new ResourceManagementClient(credential, id, clientOptions).resourceGroups.list(listOptions).byPage(),
    };
  }

  type Azure = Awaited<ReturnType<typeof connect>>;

  async function findSubscription(azure: Azure): Promise<string> {
    for await (const { subscriptionId: id, displayName: name = "", state } of azure.subscriptions()) {
      if (id === undefined || state !== "Enabled") continue;
      found({ id, name });
      return id;
    }
    const advice = `Assign it the role Reader on one: ${assignReader("/subscriptions/SUBSCRIPTION-ID", "OBJECT-ID")}`;
    throw new AzureError("forbidden", "The identity has access to no subscription", advice);
  }

  async function list(azure: Azure): Promise<Listing> {
    const groups: ResourceGroup[] = [];
    let sampleData: string | undefined;
    let pages = 0;
    const azurePages = azure.groups(subscriptionId, {
      // Called for the first page only, which is enough: the header is on every page or on none.
      onResponse: ({ headers }) => {
        sampleData = headers.get("Sample-Data");
      },
    });
    for await (const page of azurePages) {
      groups.push(...page.map(toGroup));
      if (++pages > MAX_PAGES || groups.length > MAX_GROUPS) throw unexpectedResponse("an endless list");
    }
    return { groups, sampleData };
  }

  return async () => {
    connected ??= connect();
    const azure = await connected;
    try {
      subscriptionId ||= await findSubscription(azure);
      return await list(azure);
    } catch (error) {
      subscriptionId = options.subscriptionId; // the subscription that was found may no longer exist
      throw error instanceof AzureError ? error : explainSdkError(error);
    }
  };
}

function toGroup({ name, location, tags = {}, properties }: AzureGroup): ResourceGroup {
  if (name === undefined) throw unexpectedResponse("a resource group without a name");
  return { name, location, tags, provisioningState: properties?.provisioningState };
}
