import { Compile } from "typebox/schema";
import { commonPaths, problem, problemSchema } from "../runtime/openapi.ts";

const details = {
  enum: ["true", "false"],
  default: "false",
  description: "true: return objects with location, tags and provisioning state instead of names.",
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

const header = (description: string) => ({ description, required: true, schema: { type: "string" } }) as const;
const headers = {
  ETag: header("Identifies the listing; changes when the listing changes."),
  Age: header("Age of the listing in seconds. Greater than the max-age of Cache-Control: the listing is stale."),
  "Cache-Control": header("For how many seconds the listing is fresh."),
  "Cache-Status": header(
    "RFC 9211. From the cache: group-lister; hit; ttl=SECONDS, negative if stale, with detail=REASON if Azure failed. " +
      "From Azure: group-lister; fwd=miss, or fwd=request after no-cache.",
  ),
  "Sample-Data": {
    ...header("Present if the groups are invented: names the stand-in that invented them."),
    required: false,
  },
} as const;

const list = (operationId: string) =>
  ({
    get: {
      operationId,
      summary: "Lists the resource groups of the subscription, in Azure's order.",
      parameters: [
        { name: "details", in: "query", schema: details },
        {
          name: "If-None-Match",
          in: "header",
          schema: { type: "string" },
          description: "ETags of listings that the caller has.",
        },
        {
          name: "Cache-Control",
          in: "header",
          schema: { type: "string" },
          description: "no-cache: return a listing that was requested from Azure at most 2 s ago, or fail.",
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
        304: { description: "The listing has an ETag of If-None-Match.", headers },
        400: problem("A parameter is invalid."),
        403: problem("The identity lacks a role, which the title names; the log has the command that assigns it."),
        404: problem("The subscription does not exist."),
        429: problem("Azure is throttling requests; Retry-After says when to retry."),
        502: problem(
          "Azure failed or is unreachable, Entra ID rejected the credential, or Resource Manager rejected the token.",
        ),
        503: problem(
          "No credential returned a token, and Entra ID rejected none; the log has one line for each one tried.",
        ),
        504: problem("Azure or a credential did not respond before the timeout."),
      },
    },
  }) as const;

/** The API of the service. Requests are validated with the schemas of this document. */
export const openapi = {
  openapi: "3.1.0",
  info: {
    title: "Group lister",
    version: "1.0.0",
    description: "Lists the resource groups of an Azure subscription. Signs in with an identity; needs no keys.",
    "x-try": ["curl $URL/groupz", 'curl "$URL/groupz?details=true"'],
  },
  paths: { "/": list("listGroups"), "/groupz": list("listGroupz"), ...commonPaths },
  components: { schemas: { ResourceGroup: group, Problem: problemSchema } },
} as const;
