// The keys of a Cosmos DB account: https://learn.microsoft.com/rest/api/cosmos-db-resource-provider/database-accounts/list-keys
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import type { Store } from "./store.ts";

export const keys = { primaryMasterKey: "simulated-key" };

/** Lists the keys of an account. Returns undefined when the request is another one. */
export function onCosmosAccount({ method }: AzureRequest, path: string, store: Store): AzureResponse | undefined {
  const [, id = ""] = /^(.+\/databaseAccounts\/[^/]+)\/listKeys$/i.exec(path) ?? [];
  return method === "POST" && store.find(id) ? ok(keys) : undefined;
}
