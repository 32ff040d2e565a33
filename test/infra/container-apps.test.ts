// The simulator of Container Apps through the Azure CLI: what test/simulators/container-apps/contract.test.ts asserts
// through Azure's SDK.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Served, serveSimulator } from "../simulators/container-apps/serve.ts";
import { createSimulator, groupName } from "../simulators/container-apps/simulator.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";

const simulator = createSimulator({ mode: "Multiple" });
const live = "welcome--0000001";
const two = "welcome--two";
let served: Served;
let az: AzureCli;

beforeAll(async () => {
  served = await serveSimulator(simulator);
  az = await startAzureCli(served.azure);
});
afterAll(async () => {
  az?.close();
  await served?.close();
});

/** Runs `az containerapp …` and resolves with its JSON. */
async function containerApp(command: string): Promise<unknown> {
  // az sleeps in real time while it polls, so each of its requests moves the virtual clock.
  simulator.options.requestTime = 5_000;
  const printed = await az.run(`az containerapp ${command} -n welcome -g ${groupName} --output json`);
  simulator.options.requestTime = 0;
  return printed.trim() === "" ? undefined : JSON.parse(printed);
}

describe("az containerapp", { timeout: 120_000 }, () => {
  test("show prints the app, its latest revision and its address", async () => {
    expect(await containerApp("show")).toMatchObject({
      name: "welcome",
      properties: {
        provisioningState: "Succeeded",
        latestReadyRevisionName: live,
        configuration: {
          activeRevisionsMode: "Multiple",
          ingress: { fqdn: expect.stringMatching(/^welcome\.simulator\./) },
        },
      },
    });
  });

  test("ingress traffic set pins the live revision, and update makes a revision without traffic", async () => {
    const pinned = [{ revisionName: live, weight: 100 }];
    const table = await containerApp(`ingress traffic set --revision-weight ${live}=100 latest=0`);
    expect(table).toEqual(expect.arrayContaining(pinned.map((row) => expect.objectContaining(row))));
    const updated = await containerApp("update --set-env-vars WELCOME=Hi --revision-suffix two");
    expect(updated).toMatchObject({ properties: { latestRevisionName: two } });
    expect(simulator.weights()).toEqual({ [live]: 100 });
  });

  test("revision list shows the new revision healthy only after a while", async () => {
    simulator.virtualClock.advance(60_000);
    expect(await containerApp("revision list")).toMatchObject([
      { name: live, properties: { active: true, healthState: "Healthy", trafficWeight: 100 } },
      { name: two, properties: { active: true, healthState: "Healthy", trafficWeight: 0 } },
    ]);
    expect(await containerApp(`replica list --revision ${two}`)).toMatchObject([
      { properties: { containers: [{ name: "welcome", ready: true, restartCount: 0 }] } },
    ]);
  });

  test("ingress traffic set and show split the traffic", async () => {
    await containerApp(`ingress traffic set --revision-weight ${live}=80 ${two}=20`);
    const table = await containerApp("ingress traffic show");
    expect(table).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ revisionName: live, weight: 80 }),
        expect.objectContaining({ revisionName: two, weight: 20 }),
      ]),
    );
    expect(simulator.weights()).toEqual({ [live]: 80, [two]: 20 });
  });

  test("revision deactivate and activate stop and start a revision", async () => {
    await containerApp(`ingress traffic set --revision-weight ${live}=100 ${two}=0`);
    await containerApp(`revision deactivate --revision ${two}`);
    expect(await containerApp(`revision show --revision ${two}`)).toMatchObject({ properties: { active: false } });
    await containerApp(`revision activate --revision ${two}`);
    expect(await containerApp(`revision show --revision ${two}`)).toMatchObject({ properties: { active: true } });
  });
});
