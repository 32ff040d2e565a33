// The few queries that Dapr's state store and this suite send. Everything else is refused by name.
// https://learn.microsoft.com/rest/api/cosmos-db/query-documents
import { type Container, isObject, type JsonObject, type Partition } from "./container.ts";
import { Fault } from "./http.ts";

interface Query {
  /** One row per document that matches. */
  rows: (container: Container, partition: Partition | undefined) => readonly unknown[];
  /** Needs the client to add up what each partition counted. */
  isCount: boolean;
}

/** Rows of a query; `isOneRange` when it asks one partition or partition key range only. */
export function query(
  body: unknown,
  container: Container,
  { partition, isOneRange }: { partition: Partition | undefined; isOneRange: boolean },
): readonly unknown[] {
  const { rows, isCount } = parse(body);
  if (isCount && !isOneRange) {
    // The gateway adds nothing up: the client asks for a plan, then each range for its own count.
    throw new Fault(400, "The provided cross partition query can not be directly served by the gateway.", {
      substatus: 1004,
      details: { additionalErrorInfo: JSON.stringify(plan(body)) },
    });
  }
  return rows(container, partition);
}

/** The answer to `x-ms-cosmos-is-query-plan-request`. */
export function plan(body: unknown): JsonObject {
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
  if (!isObject(body) || typeof body.query !== "string") throw new Fault(400, "A query has a text in `query`.");
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
    "The stand-in does not speak this query; test/simulators/cosmos/query.ts has those that it does.",
  );
}

function select(matches: (document: JsonObject) => boolean): Query {
  return { isCount: false, rows: (container, partition) => container.list(partition).filter(matches) };
}

function readParameters(parameters: unknown): ReadonlyMap<unknown, unknown> {
  if (!Array.isArray(parameters)) return new Map();
  return new Map(parameters.filter(isObject).map(({ name, value }) => [name, value]));
}
