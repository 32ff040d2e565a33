// Evaluates expressions of GitHub Actions. For the operators that the workflows use, JavaScript agrees with GitHub:
// https://docs.github.com/actions/reference/workflows-and-actions/expressions
import { runInNewContext } from "node:vm";

/** What GitHub knows, by name of the context. A missing input is "", as GitHub compares it. */
export type Contexts = Readonly<Record<string, unknown>>;

/** A value of a workflow: text with expressions, or one expression with its type. */
export function evaluateValue(value: string, contexts: Contexts): unknown {
  const [, only] = /^\$\{\{((?:(?!\}\}).)*)\}\}$/s.exec(value) ?? [];
  if (only !== undefined) return evaluate(only, contexts);
  return value.replaceAll(/\$\{\{(.*?)\}\}/gs, (_, expression: string) => String(evaluate(expression, contexts) ?? ""));
}

/** A condition of a job or a step, which needs no braces. */
export const isMet = (condition: string, contexts: Contexts): boolean => Boolean(evaluate(condition, contexts));

const evaluate = (expression: string, contexts: Contexts): unknown =>
  runInNewContext(`(${expression})`, { fromJSON: JSON.parse, ...contexts });
