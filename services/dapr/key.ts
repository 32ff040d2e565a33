import type { Request } from "express";
import { Compile } from "typebox/schema";
import { Problem } from "../runtime/problem.ts";

/** Dapr stores a key as `<app id>||<key>`. A Cosmos DB id has a maximum of 1023 bytes, an app id of 63. */
const MAX_KEY = 958;

/**
 * JSON Schema of a key of the state API. It excludes "/", "\", "?", "#" (Cosmos DB ids), "|" (Dapr's separator), "%"
 * and space (URLs), "." and ".." alone: no key can name another path of the sidecar's API or of the state API.
 */
export const keySchema = {
  type: "string",
  minLength: 1,
  maxLength: MAX_KEY,
  pattern: "^(?!\\.{1,2}$)[A-Za-z0-9._~:@=+,-]+$",
  description:
    "Letters, digits and . _ ~ : @ = + , - but not . or .. alone. The text before the first ~ names a partition; without " +
    "one, the key has a partition of its own.",
  examples: ["greeting", "alice~cart"],
} as const;

export const keyRule = (maxLength: number = MAX_KEY) =>
  `a key has 1 to ${maxLength} of the characters A-Z a-z 0-9 . _ ~ : @ = + , - and is not "." or ".."`;

const isKey = Compile(keySchema);

/**
 * The path parameter `key`.
 * @param prefix the caller's key is stored with it, so their common length is limited
 * @throws {Problem} 400 when it is not a key
 */
export function keyOf(req: Request, prefix = ""): string {
  const { key } = req.params;
  const maxLength = MAX_KEY - prefix.length;
  if (isKey.Check(key) && key.length <= maxLength) return key;
  throw new Problem(400, "bad-key", "This key is not allowed", { detail: `${keyRule(maxLength)}.` });
}
