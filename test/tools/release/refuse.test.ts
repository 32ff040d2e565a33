import { describe, expect, test } from "vitest";
import type { App, Revision } from "../../../tools/release/azure/azure.ts";
import { refusals } from "../../../tools/release/refuse.ts";
import { createModel, template } from "./model.ts";

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
