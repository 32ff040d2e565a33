import { describe, expect, test } from "vitest";
import type { App, Revision } from "../../../tools/release/azure/azure.ts";
import { refusals, refuseTable } from "../../../tools/release/core/refuse.ts";
import { formatProgress } from "../../../tools/release/core/tags.ts";
import { createModel, definition, template } from "./model.ts";

const progress = { id: "r12345678", phase: "promoted", step: 1, since: 0, from: "welcome--old" } as const;
const app: App = { ...createModel().show(), mode: "Multiple" };

function live(rules: readonly Readonly<Record<string, unknown>>[], more: Partial<Revision> = {}): Revision {
  const content = { ...template("registry.example/welcome:1"), scale: { rules } };
  return {
    name: "welcome--old",
    isActive: true,
    health: "healthy",
    state: "Running",
    createdAt: 0,
    template: content,
    ...more,
  };
}

describe("a release accepts", () => {
  test.each<[string, Readonly<Record<string, unknown>>]>([
    ["requests", { name: "http", http: { metadata: { concurrentRequests: "50" } } }],
    ["connections", { name: "tcp", tcp: { metadata: { concurrentConnections: "50" } } }],
    ["its load", { name: "load", custom: { type: "cpu", metadata: { value: "70" } } }],
    ["the time", { name: "day", custom: { type: "cron", metadata: { start: "0 6 * * *" } } }],
  ])("an app that scales by %s", (_, rule) => {
    expect(refusals(app, live([rule]), false)).toEqual([]);
  });
});

describe("a release refuses", () => {
  test.each<[string, Readonly<Record<string, unknown>>]>([
    ["Service Bus", { name: "orders", custom: { type: "azure-servicebus", metadata: { queueName: "orders" } } }],
    ["Azure Storage", { name: "orders", azureQueue: { queueName: "orders", queueLength: 5 } }],
  ])("an app that scales by a queue of %s, unless it is allowed", (_, rule) => {
    expect(refusals(app, live([rule]), false)).toEqual([expect.stringMatching(/the rule orders.*add --allow-queue/)]);
    expect(refusals(app, live([rule]), true)).toEqual([]);
  });

  test.each<[string, Partial<App>, string]>([
    [
      "split between two revisions",
      {
        traffic: [
          { revision: "welcome--old", weight: 40, label: "blue" },
          { revision: undefined, weight: 60, label: "green" },
        ],
      },
      "A release starts when one revision has all traffic. Deploy infra/bicep without LIVE and CANDIDATE_WEIGHT, or give all traffic to the revision that works, such as by: az containerapp ingress traffic set --name welcome --resource-group $AZURE_RESOURCE_GROUP --revision-weight latest=100",
    ],
    [
      "of a revision that is not ready",
      { latestReadyRevision: undefined },
      "The table. Look at: az containerapp revision list --name welcome --resource-group $AZURE_RESOURCE_GROUP --output table",
    ],
    ["of an app without ingress", { traffic: [], domain: undefined }, "The table: enable ingress"],
  ])("a table %s, and names the command that ends it", (_, more, text) => {
    expect(refuseTable(definition, { ...app, ...more }, "The table")).toContain(text);
  });

  test.each(["release-progress", "release-lock"])("an app whose tag %s is not that of a release", (name) => {
    const refused = (value: string) => refusals({ ...app, tags: { [name]: value } }, live([]), false);
    expect(refused("2.0.0")).toEqual([expect.stringMatching(`^the tag ${name} .*rename or delete it`)]);
    const own = name === "release-lock" ? "me 2026-11-26T08:00:00Z" : formatProgress(progress);
    expect(refused(own)).toEqual([]);
  });

  test("an app with each of its reasons and remedies at once", () => {
    const refused = refusals(
      { ...app, mode: "Labels", hasAffinity: true, domain: undefined },
      live([], { isActive: false }),
      false,
    );
    expect(refused).toEqual([
      expect.stringContaining("set the mode Multiple"),
      expect.stringContaining("turn session affinity off"),
      expect.stringContaining("enable ingress"),
      "welcome--old has all traffic, but is inactive: activate it",
    ]);
  });
});
