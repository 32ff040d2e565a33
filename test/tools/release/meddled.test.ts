// People who change the app during a release, and computers that sleep.
import { expect, test } from "vitest";
import { resume, start } from "./model.ts";
import { simulate } from "./simulated.ts";

const image = (tag: string) => start({ image: `registry.example/welcome:${tag}` });

test("A run whose computer sleeps right before a write does not send it after another run has sent all traffic back", async () => {
  const simulated = simulate();
  const { simulator, run } = simulated;
  const asleep = Promise.withResolvers<void>();
  const awake = Promise.withResolvers<void>();
  let hasSlept = false;
  const sleeper = run(image("2.0.0"), {
    replace: (azure) => ({
      ...azure,
      async patch(change, check) {
        if (!hasSlept && change.tags?.["release-progress"]?.includes("phase=step step=2")) {
          hasSlept = true;
          asleep.resolve();
          await awake.promise;
        }
        await azure.patch(change, check);
      },
    }),
  });
  await asleep.promise;
  const next = simulator.app.revisions.at(-1)?.name ?? "";
  simulator.virtualClock.advance(6 * 60_000);
  for (let minutes = 5; minutes > 0; minutes -= 1) {
    const at = simulator.clock.now() - minutes * 60_000;
    const request = { status: 500, duration: 1, authority: "", userAgent: "", count: 100 };
    simulator.requests.add({ at, revision: next, ...request });
  }
  expect((await run(resume)).outcome).toBe("rolledBack");
  awake.resolve();
  expect((await sleeper).outcome).toBe("rolledBack");
  expect(simulated.weights).toEqual([0, 5, 0]);
});
