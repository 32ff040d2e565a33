// The endpoints that issue managed identity tokens to local processes: Container Apps and App Service's, and IMDS.
import type { AzureRequest, AzureResponse } from "./http.ts";
import type { Principal, Tokens } from "./tokens.ts";

interface ManagedIdentities {
  readonly systemAssigned: Principal;
  readonly userAssigned: readonly Principal[];
  /** Value of IDENTITY_HEADER. */
  readonly header: string;
  readonly tokens: Tokens;
  /** Resources that tokens are issued for. */
  readonly audiences: readonly string[];
}

/** https://learn.microsoft.com/azure/container-apps/managed-identity#rest-endpoint-reference */
export function onContainerApps({ method, url, headers }: AzureRequest, identities: ManagedIdentities): AzureResponse {
  const reject = (status: number, message: string): AzureResponse => ({
    status,
    body: { statusCode: status, message },
  });
  if (method !== "GET") return reject(405, "Method not allowed.");
  // Blocks server-side request forgery: an attacker who makes the app send requests cannot set their headers.
  if (headers["x-identity-header"] !== identities.header) return reject(401, "The X-IDENTITY-HEADER is wrong.");
  if (url.searchParams.get("api-version") !== "2019-08-01") return reject(400, "The api-version is not supported.");
  const resource = url.searchParams.get("resource");
  if (!resource) return reject(400, "The resource parameter is missing.");
  if (!identities.audiences.includes(resource)) return reject(400, `The resource principal ${resource} was not found.`);
  const clientId = url.searchParams.get("client_id");
  const principal = clientId === null ? identities.systemAssigned : find(identities, clientId);
  if (!principal) {
    const message =
      "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId.";
    return reject(400, message);
  }
  const { token, expiresOn } = identities.tokens.issue(principal, { audience: resource });
  return {
    status: 200,
    body: {
      access_token: token,
      client_id: principal.clientId,
      expires_on: String(expiresOn),
      resource,
      token_type: "Bearer",
    },
  };
}

/**
 * IMDS as emulated by the NMI of AAD Pod Identity. The pod's label selects the identities; without a client id the
 * first of them is used, and a pod that has none gets 404. The Metadata header is required, as by IMDS itself.
 * https://github.com/Azure/aad-pod-identity/blob/master/pkg/nmi/server/server.go
 * https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
 */
export function onImds({ method, url, headers }: AzureRequest, identities: ManagedIdentities): AzureResponse {
  const reject = (error_description: string): AzureResponse => ({
    status: 400,
    body: { error: "invalid_request", error_description },
  });
  if (method !== "GET") return { status: 405, body: "Method not allowed" };
  if (headers.metadata !== "true") return reject("Required metadata header not specified");
  if (url.searchParams.get("api-version") !== "2018-02-01") return reject("The api-version is not supported");
  const resource = url.searchParams.get("resource");
  if (!resource) return reject("Required audience parameter not specified");
  if (!identities.audiences.includes(resource)) return reject(`The resource principal ${resource} was not found`);
  const clientId = url.searchParams.get("client_id");
  const principal = clientId === null ? identities.userAssigned[0] : find(identities, clientId);
  if (!principal) {
    return { status: 404, body: "no AzureAssignedIdentity found for pod:default/group-lister in assigned state" };
  }
  const { token, expiresOn } = identities.tokens.issue(principal, { audience: resource });
  return {
    status: 200,
    body: {
      access_token: token,
      refresh_token: "",
      expires_in: String(identities.tokens.lifetime),
      expires_on: String(expiresOn),
      not_before: String(expiresOn - identities.tokens.lifetime),
      resource,
      token_type: "Bearer",
    },
  };
}

function find({ userAssigned }: ManagedIdentities, clientId: string): Principal | undefined {
  return userAssigned.find((identity) => identity.clientId.toLowerCase() === clientId.toLowerCase());
}
