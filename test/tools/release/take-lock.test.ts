import { describe, expect, test, vi } from "vitest";
import { type App, type Azure, AzureFault, type Change } from "../../../tools/release/azure/azure.ts";
import { createConnection } from "../../../tools/release/azure/connection.ts";
import type { Write } from "../../../tools/release/core/action.ts";
import { dropLock, mayWrite, renewLock, takeLock } from "../../../tools/release/run/take-lock.ts";
import { createModel, definition, type Model, minute } from "./model.ts";

const owner = "runner-1";

function setUp(tags: Readonly<Record<string, string>>) {
  const model = createModel();
  model.apply({ tags });
  const guarded = { definition, azure: model.azure, clock: model.clock, owner };
  return { model, guarded, seen: model.show() };
}

/** The tag of the lock, some seconds from now. */
const lock = (model: Model, name: string, seconds: number) =>
  `${name} ${new Date(model.clock.now() + seconds * 1000).toISOString().replace(/\.\d+Z/, "Z")}`;

const patchesOf = ({ requests }: Model): Change[] => requests.flatMap(({ change }) => change ?? []);

describe("the lock", () => {
  test("is taken when nobody has it, for 5 minutes, with the other tags", async () => {
    const { model, guarded, seen } = setUp({ team: "a" });
    await takeLock(guarded, seen);
    expect(patchesOf(model)).toEqual([
      { tags: { team: "a", "release-lock": expect.stringMatching(/^runner-1 2026-11-26T08:05:1\dZ$/) } },
    ]);
  });

  test.each<[string, Change]>([
    ["another run takes it", { tags: { "release-lock": "runner-2 2026-11-26T23:00:00Z" } }],
    ["the tag of the release changes", { tags: { "release-progress": "id=r12345678" } }],
    ["the traffic changes", { traffic: [{ revision: "welcome--old", weight: 100, label: "blue" }] }],
  ])("is not taken when %s meanwhile", async (_, change) => {
    const { model, guarded, seen } = setUp({});
    model.apply(change);
    await takeLock(guarded, seen);
    expect(patchesOf(model)).toEqual([]);
  });

  test("is not taken when the read before it takes longer than 5 seconds", async () => {
    const { model, guarded, seen } = setUp({});
    const readApp = async () => {
      model.passTime(6_000);
      return model.azure.readApp();
    };
    await expect(takeLock({ ...guarded, azure: { ...model.azure, readApp } }, seen)).rejects.toThrow("6.2 s old");
    expect(patchesOf(model)).toEqual([]);
  });

  test("is renewed when less than half of its time is left, but not with old tags", async () => {
    const { model, guarded } = setUp({});
    model.apply({ tags: { "release-lock": lock(model, owner, 200) } });
    await renewLock(guarded, model.show());
    expect(patchesOf(model)).toEqual([]);
    model.passTime(minute);
    const seen: App = { ...model.show(), tags: { ...model.show().tags, "release-progress": "id=r12345678" } };
    await renewLock(guarded, seen);
    expect(patchesOf(model)).toEqual([]);
    await renewLock(guarded, model.show());
    expect(patchesOf(model)).toHaveLength(1);
  });

  test("of another run is neither renewed nor dropped", async () => {
    const { model, guarded } = setUp({});
    model.apply({ tags: { "release-lock": lock(model, "runner-2", 30) } });
    await renewLock(guarded, model.show());
    await dropLock(guarded);
    expect(patchesOf(model)).toEqual([]);
  });
});

describe("a write", () => {
  const may = async (name: string, seconds: number, change: (app: App) => App = (app) => app) => {
    const { model, guarded } = setUp({});
    model.apply({ tags: { "release-lock": lock(model, name, seconds) } });
    const readApp: Azure["readApp"] = async () => change(model.show());
    return (await mayWrite({ ...guarded, azure: { ...model.azure, readApp } }, model.show(), true, "up")) !== undefined;
  };

  test("needs the own lock with a minute left", async () => {
    expect(await may(owner, 62)).toBe(true);
    expect(await may(owner, 58)).toBe(false);
    expect(await may("runner-2", 200)).toBe(false);
  });

  test.each<[string, Write["moves"], number]>([
    ["5 seconds", "up", 5_000],
    ["5 seconds", "note", 5_000],
    ["30 seconds", "back", 30_000],
  ])("is at most %s younger than the read before it when it moves the traffic %s", async (_, moves, limit) => {
    const { model, guarded, seen } = setUp({});
    const fresh = await mayWrite(guarded, seen, false, moves);
    model.passTime(limit - 200);
    expect(() => fresh?.check()).not.toThrow();
    model.passTime(1);
    expect(() => fresh?.check()).toThrow("A change was not sent");
    model.passTime(-limit - 100);
    expect(() => fresh?.check()).toThrow("A change was not sent");
  });

  test("that is too old is stopped when its sign-in is done, before anything is sent", async () => {
    const { model } = setUp({});
    const getToken = vi.fn(async () => "token");
    const connection = createConnection({ origin: "http://127.0.0.1:9", variable: "X", getToken, clock: model.clock });
    const subject = { name: "app", find: "", role: "", scope: "" };
    const check = () => {
      expect(getToken).toHaveBeenCalledOnce();
      throw new AzureFault("busy", "too old");
    };
    await expect(connection.write("PATCH", "/app", subject, {}, check)).rejects.toThrow("too old");
  });

  test("needs an app that is as it was at the look", async () => {
    expect(await may(owner, 200, (app) => ({ ...app, mode: "Multiple" }))).toBe(false);
    expect(
      await may(owner, 200, (app) => ({ ...app, tags: { ...app.tags, "release-progress": "id=r12345678" } })),
    ).toBe(false);
    expect(await may(owner, 200, (app) => ({ ...app, traffic: [] }))).toBe(false);
    const stop = (app: App) => app.revisions.map((revision) => ({ ...revision, isActive: false }));
    expect(await may(owner, 200, (app) => ({ ...app, revisions: stop(app) }))).toBe(false);
    expect(await may(owner, 200, (app) => ({ ...app, tags: { ...app.tags, team: "b" } }))).toBe(true);
  });
});
