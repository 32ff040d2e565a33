import { describe, expect, test } from "vitest";
import { type Azure, AzureFault } from "../../../tools/release/azure/azure.ts";
import { candidateOf, revisionName } from "../../../tools/release/core/candidate.ts";
import { parseProgress } from "../../../tools/release/core/tags.ts";
import {
  createModel,
  definition,
  goodImage,
  type Model,
  minute,
  oldRevision,
  resume,
  runRelease,
  start,
} from "./model.ts";

const badImage = "registry.example/welcome:bad";
const shareOfBad = (_: string, image: string) => (image === badImage ? 0.2 : 0);

/** Phases, weights of the new revision: each once, in the order of the reports. */
function course(reports: readonly { phase: string; next: { weight: number } | undefined }[]): string[] {
  const all = reports.map(({ phase, next }) => (next ? `${phase} ${next.weight}` : phase));
  return all.filter((one, index) => one !== all[index - 1]);
}

const progressOf = (model: Model) => parseProgress(model.show().tags["release-progress"]);
const activeOf = (model: Model) => model.show().revisions.flatMap(({ name, isActive }) => (isActive ? [name] : []));

describe("a release", () => {
  test("raises the weights step by step, bakes, and leaves the new revision alone with the live label", async () => {
    const model = createModel();
    const { outcome, reports } = await runRelease(model, start());
    expect(outcome).toBe("promoted");
    expect(course(reports)).toEqual([
      "idle",
      "pinned 0",
      "created 0",
      "tests 0",
      "step 1 of 2 5",
      "step 2 of 2 50",
      "bake 100",
      "swapped 100",
      "idle",
    ]);
    const { traffic, tags, revisions } = model.show();
    const name = revisions[1]?.name;
    expect(traffic).toEqual([{ revision: name, weight: 100, label: "blue" }]);
    expect(activeOf(model)).toEqual([name]);
    expect(Object.keys(tags)).toEqual(["team", "release-progress"]);
  });

  test("keeps other labels at weight 0, and other tags", async () => {
    const model = createModel();
    model.apply({
      mode: "Multiple",
      traffic: [
        { revision: oldRevision, weight: 100, label: "blue" },
        { revision: oldRevision, weight: 0, label: "debug" },
      ],
    });
    await runRelease(model, start());
    const patches = model.requests.flatMap(({ change }) => change ?? []);
    const tables = patches.flatMap(({ traffic }) => (traffic ? [traffic] : []));
    expect(tables).toHaveLength(6);
    for (const table of tables) expect(table).toContainEqual({ revision: oldRevision, weight: 0, label: "debug" });
    for (const { tags } of patches) expect(tags?.team).toBe("a");
  });

  test("goes back by itself when the new revision has bad requests, and stops it", async () => {
    const model = createModel({ bad: shareOfBad });
    const { outcome, message } = await runRelease(model, start({ image: badImage }));
    expect(outcome).toBe("rolledBack");
    expect(message).toMatch(
      /check 5xx is worse by more than 1 point: \d+ of \d+ requests are bad, 0 of \d+ of the live revision/,
    );
    expect(progressOf(model)).toMatchObject({ phase: "rolled-back", step: 1 });
    expect(model.show().traffic).toEqual([{ revision: oldRevision, weight: 100, label: "blue" }]);
    expect(activeOf(model)).toEqual([oldRevision]);
  });

  test("of what was rolled back starts again only with retry", async () => {
    const model = createModel({ bad: shareOfBad });
    await runRelease(model, start({ image: badImage }));
    const before = model.requests.length;
    const again = await runRelease(model, start({ image: badImage }));
    expect(again.outcome).toBe("rolledBack");
    expect(again.message).toContain("add --retry");
    expect(model.requests.slice(before).map(({ name }) => name)).toEqual(["readApp"]);
    const retried = await runRelease(model, start({ image: badImage, retry: true }));
    expect(course(retried.reports)).toContain("step 1 of 2 5");
    expect(model.revisions).toHaveLength(2);
  });

  test("of what is live already does nothing", async () => {
    const model = createModel();
    await runRelease(model, start());
    const { outcome, message } = await runRelease(model, start());
    expect(outcome).toBe("nothing");
    expect(message).toContain("has this content and all traffic");
  });

  test("fails at the label: no user sees the new revision", async () => {
    const model = createModel();
    const failing = { ...definition, test: [{ run: "exit 1" }] };
    const runTest = async () => ({ ok: false, message: "the smoke test exits with 1" }) as const;
    const { outcome, message, reports } = await runRelease(model, start(), { definition: failing, runTest });
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("the smoke test exits with 1");
    expect(reports.every(({ next }) => !next || next.weight === 0)).toBe(true);
  });

  test("runs its tests once, though Azure shows an older state after them", async () => {
    const model = createModel();
    let [tests, staleReads] = [0, 0];
    let before = model.show();
    const runTest = async () => {
      tests += 1;
      if (tests === 1) staleReads = 1; // else a run that forgets its tests never ends
      return { ok: true } as const;
    };
    const readApp: Azure["readApp"] = async () => {
      const app = await model.azure.readApp();
      if (progressOf(model)?.phase === "created") before = app;
      staleReads -= 1;
      return staleReads === 0 ? before : app;
    };
    const azure = { ...model.azure, readApp };
    const { outcome } = await runRelease(model, start(), {
      azure,
      definition: { ...definition, test: [{ run: "x" }] },
      runTest,
    });
    expect({ outcome, tests }).toEqual({ outcome: "promoted", tests: 1 });
  });

  test("goes back when the new revision does not become ready within 10 minutes", async () => {
    const model = createModel();
    model.faulty.unhealthy.add(nameOf(goodImage));
    const { outcome, message } = await runRelease(model, start());
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("did not become ready within 10 minutes");
  });

  test("goes back when a replica restarts in the bake", async () => {
    const name = nameOf(goodImage);
    const model: Model = createModel({
      meddle: ({ weights, faulty }) => {
        if (weights().get(name) === 100) faulty.restarts.set(name, 1);
      },
    });
    const { outcome, message } = await runRelease(model, start());
    expect(outcome).toBe("rolledBack");
    expect(message).toContain(`a replica of ${name} restarted`);
  });

  test("goes back within a minute when the probes of the new revision fail and the live one responds", async () => {
    const name = nameOf(goodImage);
    let broken: number | undefined;
    const model = createModel({
      meddle: ({ weights, faulty, clock }) => {
        if (weights().get(name) !== 50) return;
        broken ??= clock.now();
        faulty.silent.add(name);
      },
    });
    const { outcome, message, reports } = await runRelease(model, start());
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("check alive: 3 requests in a row to /readyz failed");
    const back = reports.find(({ phase }) => phase === "back");
    expect((back?.at ?? Number.POSITIVE_INFINITY) - (broken ?? 0)).toBeLessThan(minute);
  });

  test("goes back when the new revision stays unhealthy for a minute", async () => {
    const name = nameOf(goodImage);
    const model = createModel({
      meddle: ({ weights, faulty }) => {
        if (weights().get(name) === 5) faulty.unhealthy.add(name);
      },
    });
    const { outcome, message } = await runRelease(model, start());
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("was unhealthy (Running) for a minute");
  });

  test("holds without requests, goes on with promote, and holds again at the next step", async () => {
    const model = createModel({ rate: 0 });
    const held = await runRelease(model, start());
    expect(held.outcome).toBe("held");
    expect(held.message).toContain("step 1 of 2 had too few requests to decide");
    expect(progressOf(model)).toMatchObject({ phase: "step", step: 1, hold: "inconclusive" });
    expect((await runRelease(model, resume)).outcome).toBe("held");
    const promoted = await runRelease(model, { kind: "promote", force: false });
    expect(promoted.outcome).toBe("held");
    expect(progressOf(model)).toMatchObject({ phase: "step", step: 2, hold: "inconclusive" });
  });

  test("that a step asks to confirm holds after the step has passed, until promote", async () => {
    const model = createModel();
    const asking = { ...definition, steps: [{ weight: 5, for: 600, confirm: true }] };
    const held = await runRelease(model, start(), { definition: asking });
    expect(held.outcome).toBe("held");
    expect(held.reports.at(-1)?.hold).toBe("confirm");
    const promoted = await runRelease(model, { kind: "promote", force: false }, { definition: asking });
    expect(promoted.outcome).toBe("promoted");
  });

  test("has no time left at the end of a step that has passed", async () => {
    const { reports } = await runRelease(createModel(), start());
    const ends = reports.filter(({ phase, message }) => /step|bake/.test(phase) && message.includes(" gets "));
    expect(ends.map(({ until }) => until)).toEqual([undefined, undefined, undefined]);
    expect(reports.some(({ until }) => until !== undefined)).toBe(true);
  });

  test("that holds goes back when the new revision gets worse", async () => {
    let rate = 0;
    const model = createModel({ bad: (name) => (name === oldRevision ? 0 : rate) });
    const asking = { ...definition, steps: [{ weight: 5, for: 600, confirm: true }] };
    await runRelease(model, start(), { definition: asking });
    rate = 0.3;
    const { outcome } = await runRelease(model, resume, { definition: asking });
    expect(outcome).toBe("rolledBack");
  });

  test("holds when both revisions have more bad requests than max", async () => {
    const model = createModel({ bad: () => 0.4 });
    const { outcome } = await runRelease(model, start());
    expect(outcome).toBe("held");
    expect(progressOf(model)).toMatchObject({ hold: "outage" });
  });

  test("goes back when Azure accepts the weights of a step but never shows them", async () => {
    const model = createModel({ ignoresTraffic: (progress) => progress?.step === 1 && progress.phase === "step" });
    const { outcome, message, reports } = await runRelease(model, start());
    expect(outcome).toBe("rolledBack");
    expect(message).toContain("Azure accepted this, but did not apply it within 5 minutes");
    expect(reports.every(({ next }) => !next || next.weight === 0)).toBe(true);
  });

  test("exits as unconfirmed when Azure never shows that the traffic went back", async () => {
    const model = createModel({ bad: shareOfBad, ignoresTraffic: (progress) => progress?.phase === "back" });
    const { outcome, message } = await runRelease(model, start({ image: badImage }));
    expect(outcome).toBe("unconfirmed");
    expect(message).toContain("Azure has not confirmed within 10 minutes");
  });
});

describe("a write of a release", () => {
  test("is not sent when somebody changes the traffic between the look and the write", async () => {
    const foreign = [
      { revision: oldRevision, weight: 60, label: "blue" },
      { revision: nameOf(goodImage), weight: 40, label: "green" },
    ];
    const model = createModel();
    // The last question of a look.
    const countErrors: Azure["countErrors"] = async (from, to) => {
      const counts = await model.azure.countErrors(from, to);
      const { since = Number.POSITIVE_INFINITY, step } = progressOf(model) ?? {};
      if (step === 1 && model.clock.now() - since >= 10 * minute) model.apply({ traffic: foreign });
      return counts;
    };
    const { outcome } = await runRelease(model, start(), { azure: { ...model.azure, countErrors } });
    expect(outcome).toBe("foreign");
    expect(model.show().traffic).toEqual(foreign);
  });

  test("back is repeated until Azure accepts it, though the checks pass meanwhile", async () => {
    let refused = 0;
    const model = createModel({ bad: (_, image) => (image === badImage && refused === 0 ? 0.2 : 0) });
    const patch: Azure["patch"] = async (change) => {
      if (change.tags?.["release-progress"]?.includes("phase=back") && refused < 3) {
        refused += 1;
        throw new AzureFault("busy", "Azure still applies another change.");
      }
      await model.azure.patch(change);
    };
    const { outcome } = await runRelease(model, start({ image: badImage }), { azure: { ...model.azure, patch } });
    expect({ outcome, refused }).toEqual({ outcome: "rolledBack", refused: 3 });
  });

  test("that Azure rejects sends the traffic back, and a first one ends the run", async () => {
    const rejecting = (model: Model, tag: string): Azure => ({
      ...model.azure,
      patch: async (change) => {
        if (change.tags?.["release-progress"]?.includes(tag))
          throw new AzureFault("rejected", "Azure rejected the request: quota.");
        await model.azure.patch(change);
      },
    });
    const model = createModel();
    const late = await runRelease(model, start(), { azure: rejecting(model, "phase=step step=2") });
    expect(late.outcome).toBe("rolledBack");
    expect(late.message).toContain("Azure rejects this");
    const fresh = createModel();
    const early = await runRelease(fresh, start(), { azure: rejecting(fresh, "phase=pinned") });
    expect(early).toMatchObject({ outcome: "input", message: "Azure rejected the request: quota." });
  });
});

describe("abort", () => {
  test("sends all traffic back at once, though another run has the lock", async () => {
    const model = createModel();
    const held = await runRelease(model, start(), { definition: asksForAPerson });
    expect(held.outcome).toBe("held");
    const { tags } = model.show();
    model.apply({ tags: { ...tags, "release-lock": "runner-2 2026-11-26T23:00:00Z" } });
    const { outcome } = await runRelease(model, { kind: "abort" }, { definition: asksForAPerson });
    expect(outcome).toBe("aborted");
    expect(model.show().traffic).toEqual([{ revision: oldRevision, weight: 100, label: "blue" }]);
    expect(model.show().tags["release-lock"]).toBe("runner-2 2026-11-26T23:00:00Z");
  });

  test("without a release under way changes nothing and says how to go back", async () => {
    const model = createModel();
    const { outcome, message } = await runRelease(model, { kind: "abort" });
    expect(outcome).toBe("nothing");
    expect(message).toContain("release its image");
  });
});

const asksForAPerson = { ...definition, steps: [{ weight: 5, for: 600, confirm: true }] };

function nameOf(image: string): string {
  const model = createModel();
  const [live] = model.show().revisions;
  if (!live) throw new Error("the model has a revision");
  return revisionName(definition, candidateOf(definition, live, { image }).id);
}
