// group-lister with the credential of the Azure CLI, as on a developer's machine after `az login`.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sampleIdentity, sampleSubscription } from "../../stand-ins/azure/sample.ts";
import { type Azure, startAzure } from "../../stand-ins/azure/start.ts";
import { type AzureCli, startAzureCli } from "../support/az.ts";
import { type Process, startService } from "../support/processes.ts";

const folder = mkdtempSync(join(tmpdir(), "az-credential-"));
let azure: Azure;
let az: AzureCli;
let service: Process | undefined;
beforeAll(async () => {
  azure = await startAzure({ folder: join(folder, "azure"), record: true });
  az = await startAzureCli(azure);
});
afterAll(async () => {
  await service?.end();
  az?.close();
  await azure?.close();
  rmSync(folder, { recursive: true });
});

test("group-lister lists the resource groups of the account that az is signed in with", async () => {
  const env = {
    ...az.env,
    NODE_EXTRA_CA_CERTS: azure.caFile,
    AZURE_RESOURCE_MANAGER_ENDPOINT: azure.httpsUrl,
    AZURE_TOKEN_CREDENTIALS: "AzureCliCredential",
    AZURE_TIMEOUT_MS: "20000",
  };
  service = await startService("group-lister", env, "/healthz");
  const groups = await fetch(`${service.origin}/groupz`).then((response) => response.json());
  expect(groups).toEqual(sampleSubscription.groups.map(({ name }) => name));
  expect(azure.requests.at(-1)).toMatchObject({ part: "arm", token: { clientId: sampleIdentity.clientId } });
});
