/** Dapr takes `<app id>||<key>` to the store, Cosmos DB takes at most 1023 bytes of id, an app id has at most 63. */
const MAX_KEY = 958;

/**
 * JSON Schema of a key of the state API. No "/", "\", "?", "#" (Cosmos DB ids), no "|" (Dapr's separator), no "%" or space
 * (URLs), not "." or "..": a key can never mean another path of the sidecar's API, or of the state API's own.
 */
export const keySchema = {
  type: "string",
  minLength: 1,
  maxLength: MAX_KEY,
  pattern: "^(?!\\.{1,2}$)[A-Za-z0-9._~:@=+,-]+$",
  description:
    "Letters, digits and . _ ~ : @ = + , - but not . or .. alone. What stands before the first ~ names the partition.",
  examples: ["greeting", "alice~cart"],
} as const;

export const KEY_RULE = `a key has 1 to ${MAX_KEY} of the characters A-Z a-z 0-9 . _ ~ : @ = + , - and is not "." or ".."`;
