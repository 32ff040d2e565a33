// Domains of container apps, and the certificates that Azure issues for them.
// https://learn.microsoft.com/azure/container-apps/custom-domains-managed-certificates
import type { Configuration } from "./container-apps.ts";
import { ArmFault } from "./faults.ts";
import { type Complete, parentOf, type Resource, type Store } from "./store.ts";

export interface CustomDomain {
  readonly name: string;
  readonly bindingType: string;
  readonly certificateId?: string;
}

const certificateType = "Microsoft.App/managedEnvironments/managedCertificates";

/** Checks the certificates of the domains. @throws ArmFault */
export function checkDomains(app: Resource, domains: readonly CustomDomain[], store: Store): void {
  const environment = String(app.properties.environmentId);
  for (const { name, bindingType, certificateId = "" } of domains) {
    if (bindingType === "SniEnabled" && store.find(certificateId)?.properties.subjectName !== name) {
      throw invalidCertificate(certificateId);
    }
    const certificates = store
      .list(environment, certificateType)
      .filter(({ properties }) => properties.subjectName === name);
    if (bindingType === "Auto" && certificates.length > 0) {
      // https://github.com/microsoft/azure-container-apps/issues/1652
      throw invalidCertificate(certificates[0]?.id.replace(/^\/subscriptions\/[^/]+/, "/subscriptions/") ?? "");
    }
  }
}

/** Issues a certificate for a domain that an app of the environment has. */
export const completeCertificate: Complete = (certificate, store) => {
  const environment = parentOf(certificate.id) ?? "";
  const name = certificate.properties.subjectName;
  const [subscription = ""] = /^\/subscriptions\/[^/]+/.exec(environment) ?? [];
  const isKnown = store.list(subscription, "Microsoft.App/containerApps").some(({ properties }) => {
    const { ingress } = (properties.configuration ?? {}) as Configuration;
    return properties.environmentId === environment && ingress?.customDomains?.some((domain) => domain.name === name);
  });
  if (!isKnown) {
    // https://github.com/microsoft/azure-container-apps/issues/796
    const message = `Creating managed certificate requires hostname '${name}' added as a custom hostname to a container app in environment '${environment.split("/").at(-1)}'`;
    throw new ArmFault(400, "RequireCustomHostnameInEnvironment", message);
  }
  return certificate;
};

function invalidCertificate(id: string): ArmFault {
  return new ArmFault(400, "InvalidCertificateId", `Invalid certificateId '${id}'.`);
}
