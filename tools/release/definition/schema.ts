// The JSON Schema of release.yaml. release.schema.json is its published copy, which editors read
// and definition.test.ts writes.
// `examples` and `patternErrorMessage` are part of the messages of read-definition.ts; the YAML extension of VS Code
// shows the latter, too.
import { DURATION } from "./duration.ts";

/** Rules of the names of apps and of labels. https://learn.microsoft.com/azure/container-apps/labels */
const NAME = "^(?!.*--)[a-z]([a-z0-9-]*[a-z0-9])?$";

const name = {
  type: "string",
  pattern: NAME,
  minLength: 2,
  maxLength: 32,
  patternErrorMessage:
    "Write 2 to 32 characters: lower-case letters, digits and single hyphens, with a letter first and no hyphen last.",
} as const;

const duration = {
  type: "string",
  pattern: DURATION,
  patternErrorMessage: "Write a number and a unit, such as 30s, 10m or 1h.",
} as const;

const share = {
  type: "string",
  pattern: "^(100|[0-9]{1,2}(\\.[0-9]{1,3})?)%$",
  patternErrorMessage: "Write a percentage, such as 1% or 0.5%.",
} as const;

const path = {
  type: "string",
  // With // or /\ at its start, a URL would name another host.
  pattern: "^/(?![/\\\\])[!-~]*$",
  maxLength: 1024,
  patternErrorMessage: "Write a path that starts with one slash and has no spaces, such as /readyz.",
} as const;

const checkName = {
  type: "string",
  pattern: "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
  maxLength: 32,
  description: "Name of the check in reports; each check has another",
  examples: ["5xx"],
  patternErrorMessage: "Write up to 32 lower-case letters, digits and hyphens, such as 5xx.",
} as const;

const ratio = {
  margin: {
    ...share,
    description:
      "How much larger the share of bad requests of the new revision may be than that of the live one. Half the margin " +
      "needs about twice as many requests to pass when no request is bad, and up to four times as many otherwise",
    examples: ["1%"],
  },
  max: {
    ...share,
    default: "5%",
    description:
      "When both revisions have a larger share of bad requests, the cause is outside of the new revision, and the " +
      "release holds; larger than margin",
    examples: ["5%"],
  },
} as const;

const metricsCheck = {
  type: "object",
  additionalProperties: false,
  required: ["name", "source", "margin"],
  properties: {
    name: checkName,
    source: {
      const: "metrics",
      description: "The metric Requests of Azure Monitor: requests that end with 5xx are bad",
    },
    ...ratio,
    lag: { ...duration, default: "4m", description: "How long Azure may take to count a request", examples: ["4m"] },
  },
} as const;

const httpLogsCheck = {
  type: "object",
  additionalProperties: false,
  required: ["name", "source", "over", "margin"],
  properties: {
    name: checkName,
    source: {
      const: "httpLogs",
      description:
        "The table ContainerAppHTTPLogs of a Log Analytics workspace: requests that take longer than over are bad. " +
        "Needs AZURE_LOG_ANALYTICS_WORKSPACE_ID",
    },
    over: {
      type: "string",
      pattern: "^([1-9][0-9]{0,4}ms|[1-9][0-9]{0,2}s)$",
      description: "Requests that take longer are bad",
      examples: ["500ms"],
      patternErrorMessage: "Write milliseconds or seconds, such as 500ms or 2s.",
    },
    ...ratio,
    lag: { ...duration, default: "6m", description: "How long Azure may take to log a request", examples: ["6m"] },
  },
} as const;

const probeCheck = {
  type: "object",
  additionalProperties: false,
  required: ["name", "source", "get"],
  properties: {
    name: checkName,
    source: {
      const: "probe",
      description: "Requests a path of the new revision at its label; needs an app that this computer can reach",
    },
    get: { ...path, description: "Path to request; 2xx succeeds, after redirects", examples: ["/readyz"] },
    every: { ...duration, default: "5s", description: "Pause between two probes", examples: ["5s"] },
    failures: {
      type: "integer",
      minimum: 1,
      maximum: 20,
      default: 3,
      description: "Failures in a row that fail the release, unless the live revision fails, too",
      examples: [3],
    },
  },
} as const;

const getTest = {
  type: "object",
  additionalProperties: false,
  required: ["get"],
  properties: {
    get: {
      ...path,
      description: "Path to request at the label of the new revision; 2xx succeeds",
      examples: ["/readyz"],
    },
    contains: {
      type: "string",
      minLength: 1,
      maxLength: 1024,
      description: "Text that the response must contain",
      examples: ["Hello"],
    },
  },
} as const;

const runTest = {
  type: "object",
  additionalProperties: false,
  required: ["run"],
  properties: {
    run: {
      type: "string",
      minLength: 1,
      maxLength: 4096,
      description:
        "Command to run on this computer; RELEASE_URL has the address of the new revision. Exit code 0 succeeds",
      examples: ["npm run smoke"],
    },
  },
} as const;

const inconclusive = { extend: "20m", then: "hold" } as const;

export const schema = {
  $schema: "http://json-schema.org/draft-07/schema#",
  title: "release.yaml",
  description: "How npm run release gives traffic to a new revision of an app, and what decides whether it keeps it",
  type: "object",
  additionalProperties: false,
  required: ["app", "steps", "checks"],
  properties: {
    app: { ...name, description: "Name of the container app", examples: ["welcome"] },
    labels: {
      type: "object",
      additionalProperties: false,
      required: ["live", "next"],
      default: { live: "blue", next: "green" },
      description: "Labels of the live revision and of the new one: https://APP---LABEL.DOMAIN",
      examples: [{ live: "blue", next: "green" }],
      properties: {
        live: { ...name, description: "Label of the revision that is live", examples: ["blue"] },
        next: { ...name, description: "Label of the new revision until it is promoted", examples: ["green"] },
      },
    },
    test: {
      type: "array",
      maxItems: 50,
      default: [],
      description: "What must succeed at the label of the new revision before it gets traffic",
      examples: [[{ get: "/readyz" }]],
      items: { anyOf: [getTest, runTest] },
    },
    steps: {
      type: "array",
      minItems: 1,
      maxItems: 20,
      description: "Shares of the traffic for the new revision, in ascending order",
      examples: [[{ weight: 5, for: "10m" }]],
      items: {
        type: "object",
        additionalProperties: false,
        required: ["weight", "for"],
        properties: {
          weight: { type: "integer", minimum: 1, maximum: 99, description: "Percent of the traffic", examples: [5] },
          for: { ...duration, description: "How long the step lasts at least", examples: ["10m"] },
          confirm: {
            type: "boolean",
            default: false,
            description: "When the step has passed, hold until npm run release -- promote",
            examples: [true],
          },
        },
      },
    },
    bake: {
      ...duration,
      default: "15m",
      description: "How long the new revision has all traffic before the old one stops",
      examples: ["15m"],
    },
    checks: {
      type: "array",
      minItems: 1,
      maxItems: 10,
      description: "What decides; at least one compares requests. Restarts of replicas always fail a release",
      examples: [[{ name: "5xx", source: "metrics", margin: "1%" }]],
      items: { anyOf: [metricsCheck, httpLogsCheck, probeCheck] },
    },
    inconclusive: {
      type: "object",
      additionalProperties: false,
      required: ["extend", "then"],
      default: inconclusive,
      description: "What happens when a step ends and has too few requests to decide",
      examples: [inconclusive],
      properties: {
        extend: { ...duration, description: "Extends the step once", examples: ["20m"] },
        then: {
          enum: ["hold", "abort"],
          description: "hold: keep the weights until promote or abort. abort: go back to the live revision",
          examples: ["hold"],
        },
      },
    },
  },
} as const;
