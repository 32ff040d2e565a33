// Runs the few queries that Dapr's state store and this suite send, and rejects all others.
// https://learn.microsoft.com/rest/api/cosmos-db/query-documents
import type { Container, Partition } from "./container.ts";
import { Fault } from "./http.ts";
import { isObject, type JsonObject } from "./json.ts";

interface Query {
  /** Returns the result: one row for each matching document, or the count. */
  rows: (container: Container, partition: Partition | undefined) => readonly unknown[];
  /** The client must add up the counts of the partitions. */
  isCount: boolean;
}

/**
 * @param isOneRange The query is limited to one partition or one partition key range.
 * @throws Fault 400
 */
export function runQuery(
  body: unknown,
  container: Container,
  { partition, isOneRange }: { partition: Partition | undefined; isOneRange: boolean },
): readonly unknown[] {
  const { rows, isCount } = parse(body);
  if (isCount && !isOneRange) {
    // The gateway does not aggregate: the client requests a plan, then the count of each range.
    throw new Fault(400, "The provided cross partition query can not be directly served by the gateway.", {
      substatus: 1004,
      details: { additionalErrorInfo: JSON.stringify(planQuery(body)) },
    });
  }
  return rows(container, partition);
}

/** The response to `x-ms-cosmos-is-query-plan-request`. */
export function planQuery(body: unknown): JsonObject {
  const { isCount } = parse(body);
  return {
    partitionedQueryExecutionInfoVersion: 2,
    queryInfo: {
      distinctType: "None",
      top: null,
      offset: null,
      limit: null,
      orderBy: [],
      orderByExpressions: [],
      groupByExpressions: [],
      groupByAliases: [],
      groupByAliasToAggregateType: {},
      aggregates: isCount ? ["Count"] : [],
      rewrittenQuery: isCount ? 'SELECT VALUE [{"item": COUNT(1)}] FROM c' : "",
      hasSelectValue: isCount,
      hasNonStreamingOrderBy: false,
    },
    queryRanges: [{ min: "", max: "FF", isMinInclusive: true, isMaxInclusive: false }],
  };
}

function parse(body: unknown): Query {
  if (!isObject(body) || typeof body.query !== "string") throw new Fault(400, "The property `query` must be a string.");
  const text = body.query.trim().replace(/\s+/g, " ");
  const parameters = readParameters(body.parameters);

  if (/^SELECT \* FROM \w+$/i.test(text)) return select(() => true);

  const equals = /^SELECT \* FROM (\w+) WHERE \1\.(\w+) = (@\w+)$/i.exec(text);
  if (equals) {
    const [, , property = "", name = ""] = equals;
    return select((document) => document[property] === parameters.get(name));
  }

  const contains = /^SELECT \* FROM (\w+) WHERE ARRAY_CONTAINS\((@\w+), \1\.id\)$/i.exec(text);
  if (contains) {
    const keys = parameters.get(contains[2] ?? "");
    const wanted = new Set(Array.isArray(keys) ? keys : []);
    return select(({ id }) => wanted.has(id));
  }

  if (/^SELECT VALUE COUNT\(1\) FROM \w+$/i.test(text)) {
    return { isCount: true, rows: (container, partition) => [container.list(partition).length] };
  }
  if (/^SELECT VALUE \[\{"item": COUNT\(1\)\}\] FROM \w+$/i.test(text)) {
    return { isCount: true, rows: (container, partition) => [[{ item: container.list(partition).length }]] };
  }
  throw new Fault(
    400,
    "The simulator does not support this query. test/simulators/cosmos/query.ts has the ones that it supports.",
  );
}

function select(matches: (document: JsonObject) => boolean): Query {
  return { isCount: false, rows: (container, partition) => container.list(partition).filter(matches) };
}

function readParameters(parameters: unknown): ReadonlyMap<unknown, unknown> {
  if (!Array.isArray(parameters)) return new Map();
  return new Map(parameters.filter(isObject).map(({ name, value }) => [name, value]));
}
