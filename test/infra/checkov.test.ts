// What checkov has against the plans, and why it stays so. It judges the plans that the compiler evaluates: in the compiled
// template itself, whose language it does not know yet, it would see no resource and be content.
import { execFile } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findBicepOrSkip, openWorkshop, type Resource, type Workshop } from "../support/bicep.ts";
import { findPythonWith } from "../support/python-tools.ts";

const everywhere = {
  CKV_AZURE_41: "Secret with an expiry: demosecret is a sample, and would only stop working.",
  CKV_AZURE_42: "Soft delete: no vault can be made without it any more; purge protection is on.",
  CKV_AZURE_99:
    "Cosmos DB firewall: Container Apps without a network of their own have no addresses to let in. Keys are off.",
  CKV_AZURE_101:
    "Cosmos DB without public network: needs private endpoints and zones, which cost by the hour. Keys are off.",
  CKV_AZURE_109: "Key Vault firewall: as for Cosmos DB; what counts here is the role on the one secret.",
  CKV_AZURE_114: "Content type of a secret: a note for people, who have the name demosecret.",
  CKV_AZURE_139: "Registry without public network: needs the Premium tier; no admin user, no anonymous pull.",
  CKV_AZURE_163: "Vulnerability scanning: a plan of Defender for Cloud, chosen for a subscription and not by a sample.",
  CKV_AZURE_166: "Quarantine of images: needs the Premium tier.",
  CKV_AZURE_189: "Key Vault without public network: needs a private endpoint and a zone.",
};

const onAks = {
  ...everywhere,
  CKV_AZURE_4:
    "Container Insights: logs of the control plane go to Log Analytics by a diagnostic setting, which checkov does not see.",
  CKV_AZURE_6:
    "Addresses that reach the API server: apiServer.authorizedRanges says so where it is public; a private one has none.",
  CKV_AZURE_8: "Kubernetes dashboard off: AKS has no such add-on any more.",
  CKV_AZURE_168: "At least 50 pods a node: the default of Azure CNI overlay is 250.",
  CKV_AZURE_172: "Rotation of secrets: is on; checkov looks for true where Azure wants the string 'true'.",
  CKV_AZURE_226: "Ephemeral OS disks: the Dsv5 sizes have no local disk for them.",
  CKV_AZURE_227: "Encryption at host: a feature that has to be registered for the subscription first.",
};

const accepted: Record<string, Record<string, string>> = {
  containerapps: everywhere,
  "containerapps-keyed": {
    ...everywhere,
    CKV_AZURE_140: "Keys of Cosmos DB off: this variant is for whoever needs them.",
  },
  aks: onAks,
  "aks-private-custom-dns": onAks,
};

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("checkov", () => {
  let workshop: Workshop;
  let failed: Map<string, Set<string>>;
  beforeAll(async () => {
    workshop = openWorkshop(bicep ?? "");
    const folder = join(workshop.folder, "plans");
    mkdirSync(folder);
    const names = Object.keys(accepted);
    const plans = await Promise.all(names.map((name) => workshop.plan(`infra/bicep/parameters/${name}.bicepparam`)));
    for (const [index, { resources }] of plans.entries()) write(join(folder, `${names[index]}.json`), resources);
    const spoiled = plans[names.indexOf("aks")]?.resources.map((resource) => ({
      ...resource,
      properties: spoil(resource),
    }));
    write(join(folder, "spoiled.json"), spoiled ?? []);
    failed = await scan(folder);
  }, 120_000);
  afterAll(() => workshop?.close());

  test.each(Object.keys(accepted))("%s: nothing that is not accepted, and nothing accepted in vain", (name) => {
    expect([...(failed.get(name) ?? [])].sort()).toEqual(Object.keys(accepted[name] ?? {}).sort());
  });

  test("a plan that was spoiled on purpose is noticed", () => {
    const found = failed.get("spoiled")?.difference(new Set(Object.keys(onAks)));
    expect([...(found ?? [])].sort()).toEqual(["CKV_AZURE_137", "CKV_AZURE_140", "CKV_AZURE_141"]);
  });
});

/** An admin user in the registry, keys in Cosmos DB, local accounts in the cluster. */
function spoil({ properties }: Resource) {
  return { ...properties, adminUserEnabled: true, disableLocalAuth: false, disableLocalAccounts: false };
}

function write(file: string, resources: readonly object[]): void {
  const $schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
  writeFileSync(file, JSON.stringify({ $schema, contentVersion: "1.0.0.0", resources }));
}

/** Ids of the failed checks, by the name of the plan. */
async function scan(folder: string): Promise<Map<string, Set<string>>> {
  const python = await findPythonWith("checkov==3.3.30");
  const args = ["-m", "checkov.main", "--directory", folder, "--framework", "arm", "--output", "json"];
  const options = { maxBuffer: 64 * 1024 ** 2 };
  const { stdout } = await promisify(execFile)(python, [...args, "--skip-download", "--soft-fail"], options);
  const { results, summary } = JSON.parse(stdout);
  expect(summary).toMatchObject({ parsing_errors: 0 }); // it would keep silent about such a file
  const failed = new Map<string, Set<string>>();
  for (const { file_path, check_id } of results.failed_checks) {
    const name = file_path.replace(/^\/|\.json$/g, "");
    failed.set(name, (failed.get(name) ?? new Set()).add(check_id));
  }
  return failed;
}
