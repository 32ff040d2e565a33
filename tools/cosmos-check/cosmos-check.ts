// Looks at an Azure Cosmos DB account for what makes Dapr's state store on it fail or lose data: `npm run cosmos:check`.
import { randomBytes, randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { CosmosClient, ErrorResponse } from "@azure/cosmos";
import { DefaultAzureCredential, type TokenCredential } from "@azure/identity";

export interface CheckOptions {
  /** e.g. https://ACCOUNT.documents.azure.com:443/ */
  endpoint: string;
  database: string;
  container: string;
  /** The account key, or who asks Entra ID for a token. */
  auth: { key: string } | { credential: TokenCredential };
  /** Make what is missing and turn TTL on. */
  fix: boolean;
}

export interface Finding {
  /** fix = wrong, and `fix: true` mends it; FAIL = wrong, and only the reader can mend it. */
  status: "ok" | "fix" | "FAIL";
  check: string;
  text: string;
  mend?: string;
}

interface Context extends Omit<CheckOptions, "auth"> {
  client: CosmosClient;
  /** Object id of the token's owner; undefined with a key. */
  principal: string | undefined;
  az: AzCommands;
}

/** For the first answer of a network that may not be there. */
const firstAnswerMs = 1_200;
/** Where components-contrib's state.azure.cosmosdb puts it; it cannot be configured. */
const partitionKeyPath = "/partitionKey";
/** Cosmos DB Built-in Data Contributor. */
const dataRole = "00000000-0000-0000-0000-000000000002";

/** One finding per check, in the order of the checks; ends early when one makes the rest pointless. Never throws. */
export async function checkCosmos({ auth, ...options }: CheckOptions): Promise<Finding[]> {
  const token = "key" in auth ? undefined : await getToken(auth.credential, options.endpoint);
  if (token === undefined && !("key" in auth)) return [noToken()];

  const client = connect(options.endpoint, "key" in auth ? auth.key : undefined, token?.token);
  const context: Context = { ...options, client, principal: token?.principal, az: azCommands(options) };
  const findings: Finding[] = [];
  try {
    for await (const finding of checkAccount(context)) findings.push(finding);
  } catch (error) {
    findings.push(explain(error, context));
  } finally {
    client.dispose();
  }
  return findings;
}

async function* checkAccount(context: Context): AsyncGenerator<Finding> {
  const { client, endpoint, az } = context;
  const { resource } = await client.getDatabaseAccount({ abortSignal: AbortSignal.timeout(firstAnswerMs) });
  yield { status: "ok", check: "account", text: `${endpoint} answers` };
  yield judgeConsistency(resource?.consistencyPolicy, az);
  yield* checkDatabase(context);
  yield await checkKeys(context);
}

function judgeConsistency(level: string | undefined, az: AzCommands): Finding {
  const check = "consistency";
  if (level === "Session") return { status: "ok", check, text: "Session" };
  const isWeak = level === "Eventual" || level === "ConsistentPrefix";
  return {
    status: "FAIL",
    check,
    text: isWeak
      ? `${level} is too weak: a read may miss the write before it, and Dapr's "strong" answers 400`
      : `${level} is needless: Dapr's "strong" asks for Session, and reads cost twice as much`,
    mend: az.session,
  };
}

async function* checkDatabase(context: Context): AsyncGenerator<Finding> {
  const { client, database: id, az } = context;
  const check = "database";
  if (await isThere(client.database(id).read())) {
    yield { status: "ok", check, text: id };
  } else if (context.fix && mayCreate(context)) {
    await client.databases.create({ id });
    yield { status: "ok", check, text: `${id} was missing; made` };
  } else {
    yield missing(check, id, context, az.database);
    return;
  }
  yield* checkContainer(context);
}

async function* checkContainer(context: Context): AsyncGenerator<Finding> {
  const { client, database, container: id, az } = context;
  const container = client.database(database).container(id);
  const check = "container";
  if (await isThere(container.read())) {
    yield { status: "ok", check, text: id };
  } else if (context.fix && mayCreate(context)) {
    // No throughput: that means 400 RU/s, and a serverless account refuses to be told any.
    await client.database(database).containers.create({ id, partitionKey: partitionKeyPath, defaultTtl: -1 });
    yield { status: "ok", check, text: `${id} was missing; made` };
  } else {
    yield missing(check, id, context, az.container);
    return;
  }
  const { resource } = await container.read();
  if (resource === undefined) throw new Error("a container without a definition");
  yield judgePartitionKey(resource.partitionKey?.paths ?? [], az);
  yield await checkTtl(context, resource.defaultTtl, () => container.replace({ ...resource, defaultTtl: -1 }));
  if (context.principal !== undefined) yield await checkRole(context, context.principal);
}

function judgePartitionKey(paths: readonly string[], az: AzCommands): Finding {
  const check = "partition key";
  if (paths.length === 1 && paths[0] === partitionKeyPath) return { status: "ok", check, text: partitionKeyPath };
  return {
    status: "FAIL",
    check,
    text: `${paths.join(", ")} instead of ${partitionKeyPath}: every save answers 400. It cannot be changed`,
    mend: `make another container and name it in the component's "collection", or, if it holds nothing you need, \
delete it and run this with --fix:\n${az.deleteContainer}`,
  };
}

async function checkTtl(context: Context, ttl: number | undefined, turnOn: () => Promise<unknown>): Promise<Finding> {
  const check = "TTL";
  if (ttl === -1) return { status: "ok", check, text: "on (-1)" };
  const fault =
    ttl === undefined
      ? "off: Cosmos DB ignores Dapr's ttlInSeconds"
      : `${ttl}: Cosmos DB deletes state that has no TTL of its own after ${ttl} s`;
  if (!mayCreate(context)) return { status: "FAIL", check, text: fault, mend: context.az.ttl };
  if (!context.fix) return { status: "fix", check, text: fault, mend: runWithFix };
  await turnOn();
  return { status: "ok", check, text: `was ${fault}; now on (-1)` };
}

/** To have read the account and the container says little: the role of a reader is enough for that. */
async function checkRole({ client, database, container, az }: Context, principal: string): Promise<Finding> {
  // Deletes nothing: 404 says that it might have.
  const nothing = client.database(database).container(container).item(randomUUID(), randomUUID());
  try {
    await nothing.delete();
  } catch (error) {
    if (isStatus(error, 403)) return missingRole(principal, az);
    if (!isStatus(error, 404)) throw error;
  }
  const text = `${principal} (you, here) may write; the app's own identity needs the role as well`;
  return { status: "ok", check: "data role", text };
}

/**
 * Whether the account takes keys shows on the data plane only in how it refuses a wrong one. That a wrong key is told
 * "Local Authorization is disabled" before it is told that it is wrong is what users report, not what is documented.
 */
async function checkKeys({ endpoint, principal, az }: Context): Promise<Finding> {
  const check = "keys";
  if (principal === undefined) {
    const text = "the account takes this one; once every app has an identity, turn keys off";
    return { status: "ok", check, text, mend: az.keysOff };
  }
  const client = connect(endpoint, randomBytes(64).toString("base64"), undefined);
  try {
    await client.getDatabaseAccount();
  } catch (error) {
    if (isKeysOff(error)) return { status: "ok", check, text: "off: identities only" };
    if (!isStatus(error, 401)) throw error;
  } finally {
    client.dispose();
  }
  return { status: "FAIL", check, text: "still on: whoever has one can read and write everything", mend: az.keysOff };
}

function missing(check: string, id: string, context: Context, command: string): Finding {
  const text = `${id} is missing`;
  if (mayCreate(context)) return { status: "fix", check, text, mend: runWithFix };
  return { status: "FAIL", check, text, mend: command };
}

/** The data plane lets no Entra ID token make or change databases and containers, whatever its roles.
 *  https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security */
function mayCreate({ principal }: Context): boolean {
  return principal === undefined;
}

function missingRole(principal: string, az: AzCommands): Finding {
  const text = `${principal} has no data role: Azure's own roles (Owner, Contributor) do not count here`;
  return { status: "FAIL", check: "data role", text, mend: az.role(principal) };
}

function noToken(): Finding {
  return {
    status: "FAIL",
    check: "sign-in",
    text: "no Entra ID token: this machine is not signed in to Azure and has no identity",
    mend: "az login\nor put the account key in the environment variable COSMOS_KEY and add: --key-env COSMOS_KEY",
  };
}

/** In our own words: messages of the service and the client may quote what must not be printed. */
function explain(error: unknown, { endpoint, principal, az }: Context): Finding {
  const check = "account";
  if (isKeysOff(error)) {
    const text = "the account takes no keys, which is right";
    return { status: "FAIL", check, text, mend: "leave --key-env out and sign in: az login" };
  }
  if (isStatus(error, 401)) {
    const text = principal === undefined ? "the key is not this account's" : "the token is not for this account";
    return { status: "FAIL", check, text, mend: principal === undefined ? az.keys : "az login" };
  }
  if (isStatus(error, 403)) {
    // 5301 and 5302 are RBAC's. https://learn.microsoft.com/azure/cosmos-db/nosql/troubleshoot-forbidden
    const isRole = error.substatus === 5301 || error.substatus === 5302;
    if (principal !== undefined && isRole) return missingRole(principal, az);
    const text = "403: the account's firewall keeps this machine out, or its clock is wrong";
    return { status: "FAIL", check, text, mend: az.network };
  }
  if (error instanceof ErrorResponse && typeof error.code === "number") {
    return { status: "FAIL", check, text: `${endpoint} answers ${error.code}/${error.substatus ?? 0}` };
  }
  const reason = error instanceof Error ? String("code" in error ? error.code : error.name) : "unknown";
  const text = `${endpoint} does not answer (${reason})`;
  return { status: "FAIL", check, text, mend: "look at the name, the network, and the account's firewall" };
}

async function isThere(read: Promise<unknown>): Promise<boolean> {
  try {
    await read;
    return true;
  } catch (error) {
    if (isStatus(error, 404)) return false;
    throw error;
  }
}

function isStatus(error: unknown, status: number): error is ErrorResponse {
  return error instanceof ErrorResponse && error.code === status;
}

function isKeysOff(error: unknown): boolean {
  return (isStatus(error, 401) || isStatus(error, 403)) && error.message.includes("Local Authorization is disabled");
}

/** Undefined when nobody here has one. The scope is the one that Dapr asks for. */
async function getToken(
  credential: TokenCredential,
  endpoint: string,
): Promise<{ token: string; principal: string } | undefined> {
  const { protocol, hostname } = new URL(endpoint);
  try {
    const token = (await credential.getToken(`${protocol}//${hostname}/.default`))?.token;
    return token === undefined ? undefined : { token, principal: readObjectId(token) };
  } catch {
    return undefined;
  }
}

function readObjectId(token: string): string {
  const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString());
  return typeof claims === "object" && claims !== null && "oid" in claims ? String(claims.oid) : "PRINCIPAL-ID";
}

function connect(endpoint: string, key: string | undefined, token: string | undefined): CosmosClient {
  return new CosmosClient({
    endpoint,
    // With endpoint discovery the client tries two minutes to reach what is not there.
    connectionPolicy: { enableEndpointDiscovery: false, requestTimeout: 10_000 },
    // Not aadCredentials: we have the token already, and its owner's id from it.
    ...(key === undefined ? { tokenProvider: async () => `type=aad&ver=1.0&sig=${token}` } : { key }),
  });
}

const runWithFix = "run this again with --fix";

type AzCommands = ReturnType<typeof azCommands>;

function azCommands({ endpoint, database, container }: Pick<CheckOptions, "endpoint" | "database" | "container">) {
  const account = /^([^.]+)\.documents\./.exec(new URL(endpoint).hostname)?.[1] ?? "ACCOUNT";
  const ofAccount = `--resource-group GROUP --name ${account}`;
  const inAccount = `--resource-group GROUP --account-name ${account}`;
  const ofContainer = `${inAccount} --database-name ${database} --name ${container}`;
  return {
    session: `az cosmosdb update ${ofAccount} --default-consistency-level Session`,
    database: `az cosmosdb sql database create ${inAccount} --name ${database}`,
    container: `az cosmosdb sql container create ${ofContainer} --partition-key-path ${partitionKeyPath} --ttl -1`,
    deleteContainer: `az cosmosdb sql container delete ${ofContainer}`,
    ttl: `az cosmosdb sql container update ${ofContainer} --ttl -1`,
    role: (principal: string) =>
      `az cosmosdb sql role assignment create ${inAccount} --scope "/" --principal-id ${principal} --role-definition-id ${dataRole}`,
    keys: `az cosmosdb keys list ${ofAccount}`,
    keysOff: `az resource update ${ofAccount} --resource-type Microsoft.DocumentDB/databaseAccounts --set properties.disableLocalAuth=true`,
    network: `az cosmosdb show ${ofAccount} --query "[publicNetworkAccess,ipRules]"`,
  };
}

const usage = `npm run cosmos:check -- --endpoint URL [options]

Looks at an Azure Cosmos DB account for what makes Dapr's state store on it fail or lose data. Signs in like
DefaultAzureCredential (az login, a managed identity, …). Ends with 0 when all is well, 1 when not, 2 when called wrongly.

  --endpoint URL      https://ACCOUNT.documents.azure.com:443/
  --database NAME     default: dapr-db
  --container NAME    default: statestore
  --key-env NAME      sign in with the account key in this environment variable
  --fix               make a missing database or container, turn TTL on; needs --key-env, because Cosmos DB lets an
                      identity do that through Azure Resource Manager only: without it you get the az commands
  --help`;

/** Throws an Error that says what is wrong with the call; undefined when only help is wanted. */
function readOptions(args: string[], env: NodeJS.ProcessEnv): CheckOptions | undefined {
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
  const url = URL.parse(endpoint ?? "");
  // A token or a signature that leaves the machine in clear can be used by whoever sees it.
  const isSafe = url?.protocol === "https:" || (url?.protocol === "http:" && isLoopback(url.hostname));
  if (endpoint === undefined || !isSafe) {
    throw new Error("--endpoint must be a URL such as https://ACCOUNT.documents.azure.com:443/");
  }
  if (keyEnv === undefined) {
    return { endpoint, database, container, fix, auth: { credential: new DefaultAzureCredential() } };
  }
  const key = env[keyEnv];
  if (!key) throw new Error(`--key-env ${keyEnv}: this environment variable is not set`);
  return { endpoint, database, container, fix, auth: { key } };
}

function isLoopback(hostname: string): boolean {
  return hostname === "localhost" || hostname === "127.0.0.1" || hostname === "[::1]";
}

function format({ status, check, text, mend }: Finding): string {
  const line = `${status.padEnd(4)}  ${check.padEnd(13)}  ${text}`;
  return mend === undefined ? line : `${line}\n${mend.replace(/^/gm, " ".repeat(21))}`;
}

async function main(): Promise<number> {
  let options: CheckOptions | undefined;
  try {
    options = readOptions(process.argv.slice(2), process.env);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : error}\n\n${usage}`);
    return 2;
  }
  if (options === undefined) {
    console.log(usage);
    return 0;
  }
  const findings = await checkCosmos(options);
  for (const finding of findings) console.log(format(finding));
  return findings.every(({ status }) => status === "ok") ? 0 : 1;
}

if (import.meta.main) process.exitCode = await main();
