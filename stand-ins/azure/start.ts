// A stand-in on loopback for the parts of Azure that the group lister uses: managed identity (http), Entra ID and Azure
// Resource Manager (https, with a certificate from a CA of its own).
import { isIPv4 } from "node:net";
import { loadKeys } from "./certificate.ts";
import { composeHost, identityHeader } from "./defaults.ts";
import type { Application, User } from "./entra/directory.ts";
import { onEntra } from "./entra/entra.ts";
import { createGrants } from "./entra/grants.ts";
import { userClaims } from "./entra/user-claims.ts";
import { type AzureRequest, type AzureResponse, close, createHttpServer, createHttpsServer, listen } from "./http.ts";
import { onContainerApps, onImds } from "./managed-identity.ts";
import { partOf } from "./parts.ts";
import { onResourceManager, type ResourceHandler, type Subscription } from "./resource-manager.ts";
import { sampleApplication, sampleIdentity, sampleSubscription, sampleTenantId, sampleUsers } from "./sample.ts";
import { type Claims, createTokens, type Principal } from "./tokens.ts";
import { createTraffic, type Traffic } from "./traffic.ts";

interface AzureOptions {
  /** Address to listen on; default: loopback. */
  host?: string;
  /** 0: any free port. */
  port?: number;
  httpsPort?: number;
  /** More names by which clients call the stand-in; its certificate must have them. */
  hostNames?: readonly string[];
  /** Folder for the keys; default: data/stand-ins/azure. */
  folder?: string;
  userAssigned?: readonly Principal[];
  /** Default: the sample's. */
  applications?: readonly Application[];
  users?: readonly User[];
  subscriptions?: Subscription[];
  /** Object ids that have the role Reader. Default: those of every token. */
  readers?: readonly string[];
  /** Handles the resources of a subscription. Default: subscriptions only list their groups. */
  resources?: ResourceHandler;
  /** Resources that Entra ID issues tokens for and Resource Manager accepts. Default: those of the public cloud. */
  audiences?: readonly string[];
  /** Keeps every request in `requests`. Default: no, because they would fill the memory. */
  record?: boolean;
}

export interface Azure extends Traffic {
  /** Origin of the managed identity endpoints. */
  readonly url: string;
  /** Origin of Azure Resource Manager and Entra ID. */
  readonly httpsUrl: string;
  /** PEM file with the CA's certificate, for NODE_EXTRA_CA_CERTS. */
  readonly caFile: string;
  readonly tenantId: string;
  /** Lifetime in seconds of the tokens issued from now on. */
  tokenLifetime: number;
  subscriptions: Subscription[];
  /** Origin of the links to the next page; undefined: `httpsUrl`. */
  nextLinkOrigin: string | undefined;
  /**
   * An access token for the sample application, as a user would get by signing in. `claims` replaces claims; one that
   * is undefined is left out.
   */
  issueUserToken(user: User, claims?: Claims): string;
  /** Makes Azure Resource Manager reject every token issued so far. */
  revokeTokens(): void;
  close(): Promise<void>;
}

/** Enough for a form with a token of several kilobytes. */
const tokenRequestBytes = 64 * 1024;
/** Resource Manager's limit. https://learn.microsoft.com/azure/azure-resource-manager/templates/best-practices */
const templateBytes = 4 * 1024 * 1024;
const publicCloud = ["https://management.azure.com", "https://management.core.windows.net"];

export async function startAzure(options: AzureOptions = {}): Promise<Azure> {
  const {
    host = "127.0.0.1",
    port = 0,
    httpsPort = 0,
    applications = [sampleApplication],
    users = sampleUsers,
    userAssigned = [],
    readers,
    resources,
  } = options;
  const tenantId = sampleTenantId;
  const audiences = (options.audiences ?? publicCloud).flatMap((name) => [name, `${name}/`]);
  const keys = await loadKeys(options.folder);
  const tokens = createTokens(keys.tokenKey, tenantId);
  const identities = { systemAssigned: sampleIdentity, userAssigned, header: identityHeader, tokens, audiences };
  const directory = { tenantId, applications, users, tokens, grants: createGrants(), audiences };

  const handlers = {
    identity: (request: AzureRequest) => onContainerApps(request, identities),
    imds: (request: AzureRequest) => onImds(request, identities),
    entra: (request: AzureRequest) => onEntra(request, directory),
    arm(request: AzureRequest) {
      const { nextLinkOrigin, subscriptions } = azure;
      return onResourceManager(request, {
        tenantId,
        tokens,
        audiences,
        subscriptions,
        readers,
        nextLinkOrigin,
        resources,
      });
    },
  };
  const { respond, ...traffic } = createTraffic(handlers, options.record ?? false);

  async function handle(request: AzureRequest): Promise<AzureResponse | undefined> {
    const part = partOf(request);
    if (part !== undefined) return respond(part, request);
    const isReadiness = request.url.pathname === "/readyz";
    return isReadiness ? { status: 200, body: "ok" } : { status: 404, body: "No such path." };
  }

  const limits = {
    hostNames: ["127.0.0.1", "localhost", ...(isLoopback(host) ? [] : [composeHost]), ...(options.hostNames ?? [])],
    maximumBodyBytes: resources ? templateBytes : tokenRequestBytes,
  };
  const http = createHttpServer(limits, handle);
  const https = createHttpsServer({ key: keys.key, cert: keys.cert }, limits, handle);
  const listeningPort = await listen(http, host, port);
  const listeningHttpsPort = await listen(https, host, httpsPort).catch(async (error) => {
    await close(http); // otherwise it would keep the process alive
    throw error;
  });
  const azure: Azure = {
    ...traffic,
    url: `http://127.0.0.1:${listeningPort}`,
    httpsUrl: `https://127.0.0.1:${listeningHttpsPort}`,
    caFile: keys.caFile,
    tenantId,
    subscriptions: options.subscriptions ?? [sampleSubscription],
    nextLinkOrigin: undefined,
    get tokenLifetime() {
      return tokens.lifetime;
    },
    set tokenLifetime(seconds) {
      tokens.lifetime = seconds;
    },
    issueUserToken(user, claims) {
      const { accessToken } = userClaims({
        authority: `${azure.httpsUrl}/${tenantId}`,
        tenantId,
        client: sampleApplication,
        user,
        scopes: { openId: ["profile"], api: sampleApplication, permissions: sampleApplication.exposedScopes ?? [] },
      });
      return tokens.sign({ ...accessToken, ...claims }).token;
    },
    revokeTokens: tokens.revokeAll,
    async close() {
      await Promise.all([close(http), close(https)]);
    },
  };
  return azure;
}

function isLoopback(host: string): boolean {
  return host === "localhost" || (isIPv4(host) && host.startsWith("127."));
}
