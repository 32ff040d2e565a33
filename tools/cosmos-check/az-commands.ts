import type { CheckOptions } from "./options.ts";

export type AzCommands = ReturnType<typeof createAzCommands>;

/** components-contrib's state.azure.cosmosdb always writes the partition key to this path. */
export const partitionKeyPath = "/partitionKey";
/** Cosmos DB Built-in Data Contributor. */
const dataRole = "00000000-0000-0000-0000-000000000002";

/** Creates the az commands that fix an account. GROUP is a placeholder; so is ACCOUNT if the endpoint lacks it. */
export function createAzCommands({
  endpoint,
  database,
  container,
}: Pick<CheckOptions, "endpoint" | "database" | "container">) {
  const account = /^([^.]+)\.documents\./.exec(new URL(endpoint).hostname)?.[1] ?? "ACCOUNT";
  const ofAccount = `--resource-group GROUP --name ${account}`;
  const inAccount = `--resource-group GROUP --account-name ${account}`;
  const scope = `/dbs/${database}/colls/${container}`;
  const ofContainer = `${inAccount} --database-name ${database} --name ${container}`;
  return {
    setSessionConsistency: `az cosmosdb update ${ofAccount} --default-consistency-level Session`,
    createDatabase: `az cosmosdb sql database create ${inAccount} --name ${database}`,
    createContainer: `az cosmosdb sql container create ${ofContainer} --partition-key-path ${partitionKeyPath} --ttl -1`,
    deleteContainer: `az cosmosdb sql container delete ${ofContainer}`,
    turnTtlOn: `az cosmosdb sql container update ${ofContainer} --ttl -1`,
    assignDataRole: (principal: string) =>
      `az cosmosdb sql role assignment create ${inAccount} --scope "${scope}" --principal-id ${principal} --role-definition-id ${dataRole}`,
    listKeys: `az cosmosdb keys list ${ofAccount}`,
    turnKeysOff: `az resource update ${ofAccount} --resource-type Microsoft.DocumentDB/databaseAccounts --set properties.disableLocalAuth=true`,
    showNetwork: `az cosmosdb show ${ofAccount} --query "[publicNetworkAccess,ipRules]"`,
  };
}
