// A second opinion on the Cosmos DB simulator, on which the histories depend: the tests that Microsoft runs against the
// Cosmos DB emulator, from the source of azcosmos, in the version that daprd has.
import { execFile } from "node:child_process";
import { cpSync, globSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type CosmosSimulator, startCosmosSimulator } from "../simulators/cosmos/simulator.ts";
import { buildTimeout, findSource } from "../support/go-tools.ts";

const passing = [
  "TestItemCRUD",
  "TestItemCRUDforNullPartitionKey",
  "TestItemConcurrent",
  "TestItemTransactionalBatch",
  "TestItemTransactionalBatchError",
  "TestSinglePartitionQuery",
  "TestSinglePartitionQueryWithParameters",
];

/** Tests of what Dapr's component does not use, with the reason why the simulator would fail. */
const inapplicable = {
  TestAAD: "sends an unsigned token, which only the emulator accepts",
  TestContainerCRUD: "queries containers and changes throughput",
  TestContainerAutoscaleCRUD: "changes throughput",
  TestDatabaseCRUD: "queries databases",
  TestDatabaseWithOfferCRUD: "changes throughput",
  TestGlobalEndpointManagerEmulator: "expects the region and the port of the emulator",
  TestGlobalEndpointManagerPolicyEmulator: "expects the region and the port of the emulator",
  TestItemIdEncodingRoutingGW: "uses ids with spaces, percent and control characters, which no key of state-api has",
  TestItemIdEncodingComputeGW: "needs another gateway of the emulator",
  TestSinglePartitionQueryWithIndexMetrics: "requests index metrics",
  TestSinglePartitionQueryWithProjection: "selects one property",
};

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "azcosmos-"));
const source = join(folder, "source");
const program = join(folder, "azcosmos.test");
let cosmos: CosmosSimulator;

beforeAll(async () => {
  cosmos = await startCosmosSimulator();
  const daprd = await run("go", ["version", "-m", String(process.env.DAPRD)]);
  const [, name, version] = /\t(\S+\/data\/azcosmos)\t(v\S+)/.exec(daprd.stdout) ?? [];
  cpSync(await findSource("checker", `${name}@${version}`), source, { recursive: true });
  await run("chmod", ["-R", "u+w", source]);
  const file = join(source, "emulator_tests.go");
  const parts = readFileSync(file, "utf8").split('Endpoint(t, "https://localhost:8081/")');
  if (parts.length !== 2) throw new Error(`${file} does not name the emulator's URL once`);
  writeFileSync(file, parts.join('Endpoint(t, os.Getenv("EMULATOR"))'));
  const env = { ...process.env, CGO_ENABLED: "0", GOWORK: "off" };
  await run("go", ["test", "-c", "-o", program, "."], { cwd: source, env });
}, buildTimeout);
afterAll(async () => {
  await cosmos.close();
  rmSync(folder, { recursive: true, force: true });
});

test.each(passing)("the simulator passes azcosmos' own %s", async (name) => {
  const args = ["-test.v", "-test.run", `^${name}$`];
  const { stdout } = await run(program, args, { env: { ...process.env, EMULATOR: cosmos.url } });
  expect(stdout).toContain(`--- PASS: ${name} `);
});

test("every test that azcosmos runs against the emulator passes or has a reason why it does not apply", () => {
  const files = globSync("emulator_*_test.go", { cwd: source }).map((file) => readFileSync(join(source, file), "utf8"));
  const names = files.flatMap((text) => [...text.matchAll(/^func (Test\w+)\(/gm)].map(([, name]) => name));
  expect(names.sort()).toEqual([...passing, ...Object.keys(inapplicable)].sort());
});
