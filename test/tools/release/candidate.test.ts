import { describe, expect, test } from "vitest";
import type { Container, Revision, Template } from "../../../tools/release/azure/azure.ts";
import { candidateOf, imageOf } from "../../../tools/release/core/candidate.ts";
import { definition } from "./model.ts";

const welcome: Container = {
  name: "welcome",
  image: "registry.example:5000/welcome:1",
  env: [
    { name: "MESSAGE", value: "Hello" },
    { name: "KEY", secretRef: "key" },
  ],
  probes: [{ type: "Liveness" }],
};

function live(containers: readonly Container[], more: Partial<Template> = {}): Revision {
  const template = { revisionSuffix: "old", containers, ...more };
  return { name: "welcome--old", isActive: true, health: "healthy", state: "Running", createdAt: 0, template };
}

describe("the new revision of a release", () => {
  test("has the template of the live one with the new image, and a suffix", () => {
    const { id, template, isLive } = candidateOf(definition, live([welcome], { scale: { minReplicas: 2 } }), {
      image: "registry.example:5000/welcome:2",
    });
    expect(id).toMatch(/^r[0-9a-f]{8}$/);
    expect(template).toEqual({
      revisionSuffix: id,
      containers: [{ ...welcome, image: "registry.example:5000/welcome:2" }],
      scale: { minReplicas: 2 },
    });
    expect(isLive).toBe(false);
  });

  test("replaces a variable in its place, also one from a secret, and adds new ones sorted", () => {
    const { template } = candidateOf(definition, live([welcome]), { set: { ZONE: "1", KEY: "k", COLOR: "red" } });
    expect(template.containers[0]?.env).toEqual([
      { name: "MESSAGE", value: "Hello" },
      { name: "KEY", value: "k" },
      { name: "COLOR", value: "red" },
      { name: "ZONE", value: "1" },
    ]);
    expect(template.containers[0]?.image).toBe(welcome.image);
  });

  test("has the same suffix whatever the order of the variables and of the parts of the template", () => {
    const { probes, env, image, name } = welcome;
    const one = candidateOf(definition, live([welcome]), { image: "w:2", set: { A: "1", B: "2" } });
    const other = candidateOf(definition, live([{ probes, env, image, name } as Container]), {
      image: "w:2",
      set: { B: "2", A: "1" },
    });
    expect(other.id).toBe(one.id);
    expect(candidateOf(definition, live([welcome]), { image: "w:3", set: { A: "1", B: "2" } }).id).not.toBe(one.id);
  });

  test("is the live one when nothing changes", () => {
    const same = { image: welcome.image, set: { MESSAGE: "Hello" } };
    expect(candidateOf(definition, live([welcome]), same).isLive).toBe(true);
  });

  test("changes the container of the app's name, else the one with another tag of the image", () => {
    const proxy = { name: "proxy", image: "registry.example:5000/proxy:1" };
    const named = candidateOf(definition, live([proxy, welcome]), { image: "w:2" });
    expect(named.template.containers.map(({ image }) => image)).toEqual([proxy.image, "w:2"]);
    const main = { ...welcome, name: "main" };
    const found = candidateOf(definition, live([proxy, main]), { image: "registry.example:5000/welcome@sha256:00" });
    expect(found.template.containers.map(({ image }) => image)).toEqual([
      proxy.image,
      "registry.example:5000/welcome@sha256:00",
    ]);
  });

  test("is refused when no container is the one to change", () => {
    const containers = [
      { name: "one", image: "a:1" },
      { name: "two", image: "b:1" },
    ];
    expect(() => candidateOf(definition, live(containers), { image: "c:1" })).toThrow(
      "the app has the containers one, two: name the one that the release changes welcome",
    );
    expect(imageOf(definition, live(containers))).toBeUndefined();
  });
});
