// `node --import ./stand-ins/azure/env.ts services/group-lister/server.ts` points the service at
// stand-ins/azure/server.ts with the environment variables that Container Apps would set. AZURE_STAND_IN=off leaves the
// environment unchanged.
import tls from "node:tls";
import { loadKeys } from "./certificate.ts";
import { identityHeader } from "./defaults.ts";

// This file changes process.env, because @azure/identity reads the variables from it. The sources of the service
// contain nothing about stand-ins.
if (process.env.AZURE_STAND_IN !== "off") {
  const { ca } = await loadKeys();
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), ca]);
  // A developer's shell may have settings for the real Azure. They would take precedence, and real credentials would be
  // sent to the stand-in.
  for (const name of [
    "AZURE_CLIENT_ID",
    "AZURE_CLIENT_SECRET",
    "AZURE_TENANT_ID",
    "AZURE_FEDERATED_TOKEN_FILE",
    "AZURE_SUBSCRIPTION_ID",
    "SUBSCRIPTION_ID",
    "AZURE_AD_RESOURCE",
    "AZURE_ENVIRONMENT",
    "AZURE_AUTHORITY_HOST",
  ]) {
    delete process.env[name];
  }
  const { AZURE_STAND_IN_PORT, AZURE_STAND_IN_HTTPS_PORT } = process.env; // dapr.yaml sets them
  Object.assign(process.env, {
    AZURE_TOKEN_CREDENTIALS: "ManagedIdentityCredential",
    IDENTITY_ENDPOINT: `http://127.0.0.1:${AZURE_STAND_IN_PORT}/msi/token`,
    IDENTITY_HEADER: identityHeader,
    AZURE_RESOURCE_MANAGER_ENDPOINT: `https://127.0.0.1:${AZURE_STAND_IN_HTTPS_PORT}`,
  });
}
