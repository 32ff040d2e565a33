import { Compile } from "typebox/schema";
import { commonPaths, problem, problemSchema } from "../runtime/openapi.ts";

const details = {
  enum: ["true", "false"],
  default: "false",
  description: "true: objects with location, tags and provisioning state instead of names.",
} as const;

export const validate = { details: Compile(details) };

const group = {
  type: "object",
  required: ["name", "location", "tags"],
  properties: {
    name: { type: "string" },
    location: { type: "string" },
    tags: { type: "object", additionalProperties: { type: "string" } },
    provisioningState: { type: "string" },
  },
} as const;

const header = (description: string) => ({ description, schema: { type: "string" } }) as const;
const headers = {
  ETag: header("Changes with the listing."),
  Age: header("Seconds since Azure was asked; more than the max-age of Cache-Control: the listing is stale."),
  "Cache-Control": header("How long a listing is good for."),
  "Cache-Status": header(
    "RFC 9211: group-lister; hit; ttl=SECONDS, negative when Azure cannot be asked, then with the reason as detail; or " +
      "fwd=miss or fwd=request when Azure was asked for this answer.",
  ),
  "Sample-Data": header("Present when the groups are made up: who made them up."),
} as const;

const list = (operationId: string) =>
  ({
    get: {
      operationId,
      summary: "List the resource groups of the subscription, in Azure's order.",
      parameters: [
        { name: "details", in: "query", schema: details },
        { name: "If-None-Match", in: "header", schema: { type: "string" }, description: "ETags the caller has." },
        {
          name: "Cache-Control",
          in: "header",
          schema: { type: "string" },
          description: "no-cache: ask Azure now, and rather fail than answer with an older listing.",
        },
      ],
      responses: {
        200: {
          description: "All resource groups.",
          headers,
          content: {
            "application/json": {
              schema: {
                anyOf: [
                  { type: "array", items: { type: "string" } },
                  { type: "array", items: { $ref: "#/components/schemas/ResourceGroup" } },
                ],
              },
            },
          },
        },
        304: { description: "The caller has the listing already.", headers },
        400: problem("A parameter is not as described."),
        403: problem("The identity lacks a role; the title says which, on what."),
        404: problem("There is no such subscription."),
        429: problem("Azure asks for fewer requests: try again after Retry-After."),
        502: problem("Azure failed, cannot be reached, or refuses the credential."),
        503: problem("No credential gives a token; the detail has one line for each that was tried."),
        504: problem("Azure, or a credential, gave no answer in time."),
      },
    },
  }) as const;

/** What the service speaks. The schemas in it are the ones that requests are checked with. */
export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Group lister",
    version: "1.0.0",
    description: "Lists the resource groups of an Azure subscription, without keys.",
    "x-try": ["curl $URL/groupz", 'curl "$URL/groupz?details=true"'],
  },
  paths: { "/": list("listGroups"), "/groupz": list("listGroupz"), ...commonPaths },
  components: { schemas: { ResourceGroup: group, Problem: problemSchema } },
} as const;
