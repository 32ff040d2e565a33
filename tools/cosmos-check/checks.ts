import { randomBytes, randomUUID } from "node:crypto";
import type { CosmosClient } from "@azure/cosmos";
import { type AzCommands, partitionKeyPath } from "./az-commands.ts";
import { connect, exists, isKeysOff, isMissingRole, isStatus, probe } from "./client.ts";
import { type Finding, runWithFix } from "./finding.ts";
import type { CheckOptions } from "./options.ts";

export interface Context extends Omit<CheckOptions, "auth"> {
  client: CosmosClient;
  /** The object id of the token's owner; undefined with a key. */
  principal: string | undefined;
  az: AzCommands;
}

/** Bounds the first request: an account that is far away needs more than a second. */
const firstTimeoutMs = 5_000;

export async function* checkAccount(context: Context): AsyncGenerator<Finding> {
  const { client, endpoint, az } = context;
  await probe(endpoint);
  const { resource } = await client.getDatabaseAccount({ abortSignal: AbortSignal.timeout(firstTimeoutMs) });
  yield { status: "ok", check: "account", text: `${endpoint} responds` };
  yield judgeConsistency(resource?.consistencyPolicy, az);
  yield* checkContainer(context);
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
      ? `${level} is too weak: a read may miss an earlier write, and requests with Dapr's "strong" fail with 400`
      : `${level} is stronger than needed: Dapr sends "strong" as Session, and reads cost twice as much`,
    fix: az.setSessionConsistency,
  };
}

/**
 * Reads the container first. A role on the container, the least that Dapr needs, does not cover the database:
 * https://learn.microsoft.com/azure/cosmos-db/how-to-setup-rbac#metadata-requests
 */
async function* checkContainer(context: Context): AsyncGenerator<Finding> {
  const { client, database, container: id, az } = context;
  const container = client.database(database).container(id);
  const check = "container";
  if (await exists(container.read())) {
    yield { status: "ok", check: "database", text: database };
    yield { status: "ok", check, text: id };
  } else {
    const ofDatabase = await checkDatabase(context);
    if (ofDatabase !== undefined) yield ofDatabase;
    if (ofDatabase !== undefined && ofDatabase.status !== "ok") return;
    if (!context.fix || !mayCreate(context)) {
      yield judgeMissing(check, id, context, az.createContainer);
      return;
    }
    // Sets no throughput: the default is 400 RU/s, and a serverless account rejects any value.
    await client.database(database).containers.create({ id, partitionKey: partitionKeyPath, defaultTtl: -1 });
    yield { status: "ok", check, text: `${id} was missing; created` };
  }
  const { resource } = await container.read();
  if (resource === undefined) throw new Error("a container without a definition");
  yield judgePartitionKey(resource.partitionKey?.paths ?? [], az);
  yield await checkTtl(context, resource.defaultTtl, () => container.replace({ ...resource, defaultTtl: -1 }));
  if (context.principal !== undefined) yield await checkRole(context, context.principal);
}

/** Returns undefined when the role covers only the container, so that the database cannot be read. */
async function checkDatabase(context: Context): Promise<Finding | undefined> {
  const { client, database: id, az } = context;
  const check = "database";
  try {
    if (await exists(client.database(id).read())) return { status: "ok", check, text: id };
  } catch (error) {
    if (isMissingRole(error)) return undefined;
    throw error;
  }
  if (!context.fix || !mayCreate(context)) return judgeMissing(check, id, context, az.createDatabase);
  await client.databases.create({ id });
  return { status: "ok", check, text: `${id} was missing; created` };
}

function judgeMissing(check: string, id: string, context: Context, command: string): Finding {
  const text = `${id} is missing`;
  if (mayCreate(context)) return { status: "fix", check, text, fix: runWithFix };
  return { status: "FAIL", check, text, fix: command };
}

/** On the data plane, no role lets an Entra ID token create or change databases and containers.
 *  https://learn.microsoft.com/azure/cosmos-db/nosql/reference-data-plane-security */
function mayCreate({ principal }: Context): boolean {
  return principal === undefined;
}

function judgePartitionKey(paths: readonly string[], az: AzCommands): Finding {
  const check = "partition key";
  if (paths.length === 1 && paths[0] === partitionKeyPath) return { status: "ok", check, text: partitionKeyPath };
  return {
    status: "FAIL",
    check,
    text: `${paths.join(", ")} instead of ${partitionKeyPath}: every save fails with 400. It cannot be changed`,
    fix: `create another container and name it in the component's "collection". Or, if you need none of its data, \
delete it and run this again with --fix:\n${az.deleteContainer}`,
  };
}

async function checkTtl(context: Context, ttl: number | undefined, turnOn: () => Promise<unknown>): Promise<Finding> {
  const check = "TTL";
  if (ttl === -1) return { status: "ok", check, text: "on (-1)" };
  const fault =
    ttl === undefined
      ? "off: Cosmos DB ignores Dapr's ttlInSeconds"
      : `${ttl}: Cosmos DB deletes state without a TTL of its own after ${ttl} s`;
  if (!mayCreate(context)) return { status: "FAIL", check, text: fault, fix: context.az.turnTtlOn };
  if (!context.fix) return { status: "fix", check, text: fault, fix: runWithFix };
  await turnOn();
  return { status: "ok", check, text: `was ${fault}; now on (-1)` };
}

/** Tries to delete a random document, because a reader's role is enough for all earlier requests. */
async function checkRole({ client, database, container, az }: Context, principal: string): Promise<Finding> {
  const randomItem = client.database(database).container(container).item(randomUUID(), randomUUID());
  try {
    await randomItem.delete();
  } catch (error) {
    if (isStatus(error, 403)) return judgeMissingRole(principal, az);
    if (!isStatus(error, 404)) throw error; // 404 means that the role allows a delete
  }
  const text = `${principal}, signed in on this machine, can write; the app's identity needs the same role`;
  return { status: "ok", check: "data role", text };
}

export function judgeMissingRole(principal: string, az: AzCommands): Finding {
  const text = `${principal} has no data role on the container. Azure roles such as Owner give no access to data`;
  return { status: "FAIL", check: "data role", text, fix: az.assignDataRole(principal) };
}

/**
 * With a token, tries a random key: only the error for a wrong key shows whether the account accepts keys. Users report
 * that the service says "Local Authorization is disabled" before it checks the key; this is undocumented.
 */
async function checkKeys({ endpoint, principal, az }: Context): Promise<Finding> {
  const check = "keys";
  if (principal === undefined) {
    const text = "the account accepts this key. Once every app has an identity, turn keys off";
    return { status: "ok", check, text, fix: az.turnKeysOff };
  }
  const client = connect(endpoint, { key: randomBytes(64).toString("base64") });
  try {
    await client.getDatabaseAccount();
  } catch (error) {
    if (isKeysOff(error)) return { status: "ok", check, text: "off: identities only" };
    if (!isStatus(error, 401)) throw error;
  } finally {
    client.dispose();
  }
  return {
    status: "FAIL",
    check,
    text: "still on: anyone with a key can read and write everything",
    fix: az.turnKeysOff,
  };
}
