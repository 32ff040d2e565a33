// Runs the Azure stand-in as a process, with sample resource groups.
import { httpPort, httpsPort } from "./defaults.ts";
import { sampleSubscription } from "./sample.ts";
import { startAzure } from "./start.ts";

const { HOST, PORT, AZURE_STAND_IN_HTTPS_PORT } = process.env;
const azure = await startAzure({
  ...(HOST ? { host: HOST } : {}),
  port: Number(PORT ?? httpPort),
  httpsPort: Number(AZURE_STAND_IN_HTTPS_PORT ?? httpsPort),
});
const { length } = sampleSubscription.groups;
console.log(`Azure stand-in with ${length} sample groups: managed identity ${azure.url}, Azure ${azure.httpsUrl}`);
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => void azure.close());
