// The expression language of ARM templates: "[format('rg-{0}', parameters('name'))]".
// https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions

/** Calls a function of the language. Arguments are unevaluated, because if() evaluates only one of its branches. */
export type Call = (name: string, args: readonly Thunk[]) => unknown;
export type Thunk = () => unknown;
type Expression = (call: Call) => unknown;

interface Loop {
  readonly name: string;
  readonly count: unknown;
  readonly input: unknown;
}

const token = /\s*(?:'((?:[^']|'')*)'|(-?\d+)|([A-Za-z_][\w.]*)|(.))/gy;
const parsed = new Map<string, Expression>();

/** Evaluates a value of a template: expressions in strings and keys, at every depth. */
export function evaluate(value: unknown, call: Call): unknown {
  if (typeof value === "string") return evaluateText(value, call);
  if (Array.isArray(value)) return value.map((item) => evaluate(item, call));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).flatMap(([name, inner]) =>
    name === "copy" && Array.isArray(inner)
      ? inner.map((loop) => [loop.name, evaluateLoop(loop, call)])
      : [[evaluateText(name, call), evaluate(inner, call)]],
  );
  return Object.fromEntries(entries);
}

/** https://learn.microsoft.com/azure/azure-resource-manager/templates/copy-properties */
function evaluateLoop({ name, count, input }: Loop, call: Call): unknown[] {
  return Array.from({ length: Number(evaluate(count, call)) }, (_, index) =>
    evaluate(input, (called, args) =>
      called.toLowerCase() === "copyindex" && args[0]?.() === name ? index : call(called, args),
    ),
  );
}

/** A string is an expression when it is in brackets. A second bracket escapes the first. */
function evaluateText(text: string, call: Call): unknown {
  if (!text.startsWith("[") || !text.endsWith("]")) return text;
  if (text.startsWith("[[")) return text.slice(1);
  const expression = parsed.get(text) ?? parse(text.slice(1, -1));
  parsed.set(text, expression);
  return expression(call);
}

function parse(text: string): Expression {
  const tokens = [...text.matchAll(token)].map(([, string, number, name, symbol]) => ({
    string,
    number,
    name,
    symbol,
  }));
  let next = 0;

  function readExpression(): Expression {
    let expression = readPrimary();
    for (;;) {
      const name = tokens[next]?.symbol === "." ? tokens[next + 1]?.name : undefined;
      if (name !== undefined) {
        next += 2;
        expression = readPath(expression, name);
      } else if (tokens[next]?.symbol === "[") {
        next++;
        const index = readExpression();
        expect("]");
        const list = expression;
        expression = (call) => property(list(call), index(call));
      } else return expression;
    }
  }

  function readPrimary(): Expression {
    const { string, number, name } = tokens[next++] ?? {};
    if (string !== undefined) return () => string.replaceAll("''", "'");
    if (number !== undefined) return () => Number(number);
    if (name === undefined) throw new Error(`no value at token ${next} of ${text}`);
    expect("(");
    const args: Expression[] = [];
    while (tokens[next]?.symbol !== ")") {
      if (args.length > 0) expect(",");
      args.push(readExpression());
    }
    next++;
    return (call) =>
      call(
        name,
        args.map((argument) => () => argument(call)),
      );
  }

  function expect(symbol: string): void {
    if (tokens[next++]?.symbol !== symbol) throw new Error(`no ${symbol} at token ${next} of ${text}`);
  }

  const expression = readExpression();
  if (next < tokens.length) throw new Error(`unexpected token ${next} of ${text}`);
  return expression;
}

/** The tokenizer reads a name with its dots: `.outputs.clientId` is one path. */
function readPath(expression: Expression, path: string): Expression {
  return (call) => path.split(".").reduce(property, expression(call));
}

/** @throws when there is no such property, as ARM does */
function property(value: unknown, name: unknown): unknown {
  const found = tryProperty(value, name);
  if (found === undefined) {
    throw new Error(
      `The language expression property '${name}' doesn't exist in ${JSON.stringify(value)?.slice(0, 200)}.`,
    );
  }
  return found;
}

/** Returns undefined when there is no such property. Names of properties are not case-sensitive. */
export function tryProperty(value: unknown, name: unknown): unknown {
  if (Array.isArray(value)) return value[Number(name)];
  if (typeof value !== "object" || value === null) return undefined;
  const [, found] = Object.entries(value).find(([key]) => key.toLowerCase() === String(name).toLowerCase()) ?? [];
  return found;
}
