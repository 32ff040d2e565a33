import { parseArgs } from "node:util";
import { DefaultAzureCredential, type TokenCredential } from "@azure/identity";
import { isSafe } from "../../services/runtime/loopback.ts";

export interface CheckOptions {
  /** e.g. https://ACCOUNT.documents.azure.com:443/ */
  endpoint: string;
  database: string;
  container: string;
  /** The account key, or a credential that gets tokens from Entra ID. */
  auth: { key: string } | { credential: TokenCredential };
  /** Create a missing database or container, and turn TTL on. */
  fix: boolean;
}

export const usage = `npm run cosmos:check -- --endpoint URL [options]

Finds the settings of an Azure Cosmos DB account that make Dapr's state store fail or lose data. Signs in like
DefaultAzureCredential: az login, a managed identity, …
Exits with 0 when every check passes, with 1 when a check fails, and with 2 when an option is wrong.

  --endpoint URL      https://ACCOUNT.documents.azure.com:443/
  --database NAME     default: dapr-db
  --container NAME    default: statestore
  --key-env NAME      sign in with the account key in this environment variable
  --fix               create a missing database or container, and turn TTL on. Needs --key-env: Cosmos DB lets
                      identities do this only through Azure Resource Manager. Without a key, it prints the az commands
  --help              print this text`;

/**
 * @returns undefined for --help.
 * @throws Error that names the wrong option.
 */
export function readOptions(args: string[], env: NodeJS.ProcessEnv): CheckOptions | undefined {
  const { values } = parseArgs({
    args,
    options: {
      endpoint: { type: "string" },
      database: { type: "string", default: "dapr-db" },
      container: { type: "string", default: "statestore" },
      "key-env": { type: "string" },
      fix: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) return undefined;
  const { endpoint, database, container, fix, "key-env": keyEnv } = values;
  if (endpoint === undefined || !isSafe(endpoint)) {
    throw new Error("--endpoint must be a URL such as https://ACCOUNT.documents.azure.com:443/");
  }
  if (keyEnv === undefined) {
    return { endpoint, database, container, fix, auth: { credential: new DefaultAzureCredential() } };
  }
  const key = env[keyEnv];
  if (!key) throw new Error(`--key-env ${keyEnv}: this environment variable is not set`);
  return { endpoint, database, container, fix, auth: { key } };
}
