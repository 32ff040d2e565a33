// `npm start -- --azure`: your own Azure instead of the stand-in.
import { createCredential } from "../../services/group-lister/azure/credential.ts";
import { AzureError } from "../../services/group-lister/azure/error.ts";
import { azureOf, readGroupListerConfig } from "../../services/group-lister/config.ts";
import { type Settings, withAzureSettings } from "./environment.ts";
import type { Suite } from "./template.ts";

/** Fails before anything starts, because group-lister can do nothing without an identity. */
export async function signIn(settings: Settings): Promise<void> {
  const config = readGroupListerConfig(settings);
  const { authorityHost, resource } = azureOf(config);
  const credential = createCredential({
    resource,
    clientId: config.AZURE_CLIENT_ID,
    authorityHost,
    timeoutMs: 5_000, // the Azure CLI alone takes a second or two
    observe: () => {},
  });
  await withAzureSettings(settings, () => credential.getToken(resource)).catch((error) => {
    if (!(error instanceof AzureError)) throw error;
    const { message, advice, details = "" } = error;
    throw new Error(`Nothing was started. ${message}\n${advice}\n${details}`);
  });
}

export function withoutStandIn(suite: Suite): Suite {
  const apps = suite.apps.filter(({ appID }) => appID !== "azure-stand-in");
  return { ...suite, apps: apps.map((app) => ({ ...app, env: { ...app.env, AZURE_STAND_IN: "off" } })) };
}
