// The simulator as a person starts it, and a client with the environment that it prints.
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import { expect, test, vi } from "vitest";
import { run } from "../../support/processes.ts";
import { readVariables } from "./printed.ts";

const speed = 60;

/** Runs a script with the printed variables. */
async function runClient(variables: Record<string, string>, script: string): Promise<unknown> {
  const { PATH = "" } = process.env;
  const client = promisify(execFile)(process.execPath, ["--input-type=module", "--eval", script], {
    env: { PATH, ...variables },
  });
  return JSON.parse((await client).stdout);
}

test("start.ts prints an environment in which a client is in time with the simulator and reaches the app", async () => {
  const started = run(process.execPath, [
    "test/simulators/container-apps/start.ts",
    "--rate",
    "2",
    "--speed",
    `${speed}`,
  ]);
  try {
    await vi.waitFor(() => expect(started.output()).toMatch(/welcome--0000001 200 +\d/), { timeout: 20_000 });
    const variables = readVariables(started.output());
    const [, address = ""] = /welcome runs at (\S+),/.exec(started.output()) ?? [];
    const result = await runClient(
      variables,
      `import { setTimeout } from "node:timers/promises";
      import { DefaultAzureCredential } from "@azure/identity";
      // Each moment of the fast clock lies between two of the real one.
      const read = () => [performance.now(), Date.now(), performance.now()];
      const [earliest, start, early] = read();
      await setTimeout(12_000);
      const [late, end, latest] = read();
      const speeds = [(end - start) / (latest - earliest), (end - start) / (late - early)];
      const { token } = await new DefaultAzureCredential().getToken("https://management.azure.com/.default");
      const { AZURE_RESOURCE_MANAGER_ENDPOINT: origin, AZURE_SUBSCRIPTION_ID: id, AZURE_RESOURCE_GROUP: group } = process.env;
      const path = "/subscriptions/" + id + "/resourceGroups/" + group + "/providers/Microsoft.App/containerApps/welcome";
      const sent = Date.now();
      const shown = await fetch(origin + path + "?api-version=2026-07-01", { headers: { authorization: "Bearer " + token } });
      const date = Date.parse(shown.headers.get("date"));
      const moments = [sent, date, Date.now()];
      const { fqdn } = (await shown.json()).properties.configuration.ingress;
      const { status } = await fetch("https://" + fqdn + "/readyz");
      console.log(JSON.stringify({ speeds, moments, fqdn, status }));`,
    );
    expect(result).toMatchObject({ fqdn: address.replace("https://", ""), status: 200 });
    const { speeds, moments } = result as { speeds: [number, number]; moments: [number, number, number] };
    expect(speeds[0]).toBeLessThan(1.02 * speed);
    expect(speeds[1]).toBeGreaterThan(0.98 * speed);
    const [sent, date, received] = moments;
    // The header has whole seconds, and the clocks differ by real milliseconds.
    expect(date).toBeGreaterThan(sent - 10_000);
    expect(date).toBeLessThan(received + 10_000);
    void started.end("SIGINT");
    expect(await started.end("SIGINT")).toBe(0);
    expect(existsSync(variables.NODE_EXTRA_CA_CERTS ?? "")).toBe(false);
  } finally {
    await started.end();
  }
});

test("start.ts ends its processes and deletes its files when its terminal is closed", async () => {
  const started = run(process.execPath, ["test/simulators/container-apps/start.ts"]);
  try {
    await vi.waitFor(() => expect(started.output()).toMatch(/welcome--0000001 200 +\d/), { timeout: 20_000 });
    const { NODE_EXTRA_CA_CERTS: file = "" } = readVariables(started.output());
    expect(existsSync(file)).toBe(true);
    expect(await started.end("SIGHUP")).toBe(0);
    expect(existsSync(file)).toBe(false); // deleted after the processes have ended
  } finally {
    await started.end();
  }
});

test("start.ts explains an option that it does not have", async () => {
  const started = run(process.execPath, ["test/simulators/container-apps/start.ts", "--fast"]);
  await started.ended;
  expect(started.output()).toMatch(/Unknown option '--fast'[\s\S]*Usage: npm run simulate/);
});
