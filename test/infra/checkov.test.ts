// Runs checkov on the plans and lists the accepted findings with their reasons. It scans the evaluated plans, because
// it finds no resources in compiled templates of language version 2.0.
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, test } from "vitest";
import { findBicepOrSkip, type Resource } from "../support/bicep.ts";
import { makePlans, shipped } from "../support/plans.ts";
import { findPythonWith } from "../support/python-tools.ts";

const accepted: Readonly<Record<string, string>> = {
  CKV_AZURE_4: "Container Insights: billed by volume. Logs of the control plane go to Log Analytics.",
  CKV_AZURE_6: "Authorized IP ranges: apiServer.authorizedRanges sets them. A private API server cannot have them.",
  CKV_AZURE_8: "Kubernetes dashboard: AKS no longer has this add-on.",
  CKV_AZURE_41: "Secret without expiry: demosecret is a sample; an expiry would only break it.",
  CKV_AZURE_42: "Soft delete: Azure enables it for every vault. Purge protection is on.",
  CKV_AZURE_99:
    "Cosmos DB firewall: Container Apps without a virtual network have no fixed addresses to allow, and an existing " +
    "subnet may have no service endpoint. Keys are off. With private endpoints, the account has no public access, which " +
    "checkov does not read.",
  CKV_AZURE_101: "Public network access of Cosmos DB: private endpoints are billed by the hour. Keys are off.",
  CKV_AZURE_109:
    "Key Vault firewall: as for Cosmos DB; Container Apps may not read secrets through a service endpoint. Access needs " +
    "a role on the one secret.",
  CKV_AZURE_114: "Content type of a secret: informational only; the name demosecret is enough.",
  CKV_AZURE_139:
    "Public network access of the registry: turning it off needs the Premium tier. Admin user and anonymous pull are off.",
  CKV_AZURE_140: "Cosmos DB keys: containerapps-keyed exists to use a key.",
  CKV_AZURE_163: "Vulnerability scanning: a Defender for Cloud plan, which is set for the whole subscription.",
  CKV_AZURE_166: "Quarantine of images: needs the Premium tier.",
  CKV_AZURE_168: "At least 50 pods for each node: the default of Azure CNI overlay is 250.",
  CKV_AZURE_172: "Secret rotation: it is on. checkov expects true, but Azure requires the string 'true'.",
  CKV_AZURE_189: "Public network access of Key Vault: needs a private endpoint and a DNS zone.",
  CKV_AZURE_226: "Ephemeral OS disks: Dsv5 sizes have no local disk.",
  CKV_AZURE_227: "Encryption at host: the feature must first be registered for the subscription.",
};
/** AKS in a network that the template creates. */
const aks = ["aks", "aks-operations", "aks-private-custom-dns"];
const privateEndpoints = ["aks-private-endpoints", "containerapps-private-endpoints"];
/** Findings that some parameter files may not have. */
const never: Readonly<Record<string, readonly string[]>> = {
  CKV_AZURE_6: shipped.filter((name) => name.startsWith("aks") && !name.includes("dns")),
  CKV_AZURE_99: [...aks, "containerapps-private", "zone-redundant"],
  CKV_AZURE_101: privateEndpoints,
  CKV_AZURE_109: [...aks, ...privateEndpoints],
  CKV_AZURE_139: privateEndpoints,
  CKV_AZURE_140: shipped.filter((name) => name !== "containerapps-keyed"),
  CKV_AZURE_189: [...aks, ...privateEndpoints],
};

const bicep = await findBicepOrSkip();

describe.skipIf(!bicep)("checkov", () => {
  let failed: Map<string, Set<string>>;
  beforeAll(async () => {
    const plans = await makePlans(bicep ?? "", shipped);
    const folder = mkdtempSync(join(tmpdir(), "checkov-"));
    try {
      for (const name of shipped) write(join(folder, `${name}.json`), plans.of(name).resources);
      const weakened = plans.of("aks").resources.map((resource) => ({ ...resource, properties: weaken(resource) }));
      write(join(folder, "weakened.json"), weakened);
      failed = await scan(folder);
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 120_000);
  const found = (name: string) => [...(failed.get(name) ?? [])];
  const isAccepted = (name: string, finding: string) => finding in accepted && !never[finding]?.includes(name);

  test.each(shipped)("%s has only accepted findings", (name) => {
    expect(found(name).filter((finding) => !isAccepted(name, finding))).toEqual([]);
  });

  test.each(Object.entries(accepted))("%s is a finding for at least one parameter file", (finding) => {
    expect(shipped.flatMap(found)).toContain(finding);
  });

  test("a plan with keys and an admin user has findings that are not accepted", () => {
    const unaccepted = found("weakened").filter((finding) => !isAccepted("aks", finding));
    expect(unaccepted.sort()).toEqual(["CKV_AZURE_137", "CKV_AZURE_140", "CKV_AZURE_141"]);
  });
});

/** Enables the admin user of the registry, keys in Cosmos DB and local accounts in the cluster. */
function weaken({ properties }: Resource) {
  return { ...properties, adminUserEnabled: true, disableLocalAuth: false, disableLocalAccounts: false };
}

function write(file: string, resources: readonly object[]): void {
  const $schema = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#";
  writeFileSync(file, JSON.stringify({ $schema, contentVersion: "1.0.0.0", resources }));
}

/** Returns the ids of the failed checks by plan name. */
async function scan(folder: string): Promise<Map<string, Set<string>>> {
  const python = await findPythonWith("checkov");
  const args = ["-m", "checkov.main", "--directory", folder, "--framework", "arm", "--output", "json"];
  const options = { maxBuffer: 64 * 1024 ** 2 };
  const { stdout } = await promisify(execFile)(python, [...args, "--skip-download", "--soft-fail"], options);
  const { results, summary } = JSON.parse(stdout);
  expect(summary).toMatchObject({ parsing_errors: 0 }); // checkov reports no findings for a file that it cannot parse
  const failed = new Map<string, Set<string>>();
  for (const { file_path, check_id } of results.failed_checks) {
    const name = file_path.replace(/^\/|\.json$/g, "");
    failed.set(name, (failed.get(name) ?? new Set()).add(check_id));
  }
  return failed;
}
