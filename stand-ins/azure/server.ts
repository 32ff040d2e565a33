// Runs the Azure stand-in as a process, with sample resource groups.
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { field } from "../../services/runtime/field.ts";
import { loadKeys } from "./certificate.ts";
import { sampleSubscription } from "./sample.ts";
import { startAzure } from "./start.ts";

const { HOST, PORT = 0, AZURE_STAND_IN_HTTPS_PORT = 0, AZURE_STAND_IN_CA_FOLDER } = process.env;
try {
  if (AZURE_STAND_IN_CA_FOLDER) {
    // The container of group-lister mounts this folder, which has the certificate but no key.
    const { caFile } = await loadKeys();
    copyFileSync(caFile, join(AZURE_STAND_IN_CA_FOLDER, "ca.pem"));
  }
  const azure = await startAzure({
    ...(HOST ? { host: HOST } : {}),
    port: Number(PORT),
    httpsPort: Number(AZURE_STAND_IN_HTTPS_PORT),
  });
  const { length } = sampleSubscription.groups;
  console.log(`Azure stand-in with ${length} sample groups: managed identity ${azure.url}, Azure ${azure.httpsUrl}`);
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void azure.close());
} catch (error) {
  if (field(error, "code") !== "EADDRINUSE") throw error;
  console.error(
    `Port ${field(error, "port")} is taken. End the process that holds it, or set another port in dapr.yaml.`,
  );
  process.exitCode = 1;
}
