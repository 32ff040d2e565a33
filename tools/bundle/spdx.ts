// Software bills of materials in the format SPDX 2.3: https://spdx.github.io/spdx-spec/v2.3/
import { createHash } from "node:crypto";
import type { System } from "./base-image.ts";
import type { Component } from "./component.ts";

interface Image {
  readonly name: string;
  readonly version: string;
  readonly licence: string;
  readonly created: Date;
}

/**
 * Describes an image and the software in it.
 *
 * Scanners recognise the operating system by the form of its SPDXID, and its packages by their relationship to it:
 * https://github.com/aquasecurity/trivy/blob/main/pkg/sbom/spdx/unmarshal.go
 */
export function describeAsSpdx(
  image: Image,
  system: System,
  libraries: readonly Component[],
  others: readonly Component[],
): object {
  const imageId = "SPDXRef-Image";
  const systemId = `SPDXRef-OperatingSystem-${system.id}`;
  const relationships = [
    ["SPDXRef-DOCUMENT", "DESCRIBES", imageId],
    [imageId, "CONTAINS", systemId],
    ...libraries.map((library) => [systemId, "CONTAINS", idOf(library)]),
    ...others.map((component) => [imageId, "CONTAINS", idOf(component)]),
    ...others.flatMap((component) =>
      (component.parts ?? []).map((part) => [idOf(component), "CONTAINS", idOf(part, component)]),
    ),
  ];
  const packages = [
    {
      SPDXID: imageId,
      name: image.name,
      versionInfo: image.version,
      primaryPackagePurpose: "CONTAINER",
      downloadLocation: "NOASSERTION",
      ...licensed(image.licence),
    },
    {
      SPDXID: systemId,
      name: system.id,
      versionInfo: system.version,
      primaryPackagePurpose: "OPERATING-SYSTEM",
      downloadLocation: "NOASSERTION",
      comment: "Only the packages that the relationships name are in the image.",
      ...licensed("NOASSERTION"),
    },
    ...[...libraries, ...others].map((component) => describePackage(component)),
    ...others.flatMap((component) => (component.parts ?? []).map((part) => describePackage(part, component))),
  ];
  const digest = createHash("sha256")
    .update(JSON.stringify([image.created, packages]))
    .digest("hex");
  return {
    spdxVersion: "SPDX-2.3",
    dataLicense: "CC0-1.0",
    SPDXID: "SPDXRef-DOCUMENT",
    name: `${image.name} ${image.version}`,
    documentNamespace: `https://spdx.org/spdxdocs/${image.name}-${image.version}-${digest}`,
    creationInfo: {
      created: image.created.toISOString().replace(/\.\d+Z$/, "Z"),
      creators: ["Tool: dapr-on-azure-samples-tools-bundle-sbom"],
    },
    packages,
    relationships: relationships.map(([spdxElementId, relationshipType, relatedSpdxElement]) => ({
      spdxElementId,
      relationshipType,
      relatedSpdxElement,
    })),
  };
}

function describePackage(component: Component, whole?: Component): object {
  const { name, version, licence, purl, download, sha512, cpe, builtFrom } = component;
  return {
    SPDXID: idOf(component, whole),
    name,
    ...(version ? { versionInfo: version } : {}),
    primaryPackagePurpose: "LIBRARY",
    downloadLocation: download,
    ...(sha512 ? { checksums: [{ algorithm: "SHA512", checksumValue: sha512 }] } : {}),
    ...(builtFrom ? { sourceInfo: `built package from: ${builtFrom}` } : {}),
    externalRefs: [
      { referenceCategory: "PACKAGE-MANAGER", referenceType: "purl", referenceLocator: purl },
      ...(cpe ? [{ referenceCategory: "SECURITY", referenceType: "cpe23Type", referenceLocator: cpe }] : []),
    ],
    ...licensed(licence),
  };
}

function licensed(licence: string): object {
  return {
    filesAnalyzed: false,
    licenseConcluded: "NOASSERTION",
    licenseDeclared: licence,
    copyrightText: "NOASSERTION",
  };
}

/** Two versions of one package can be in an image, and one version by itself and as a part of another package. */
function idOf({ name, version }: Component, whole?: Component): string {
  const names = [...(whole ? [whole.name] : []), name, ...(version ? [version] : [])];
  return `SPDXRef-Package-${names.join("-").replaceAll(/[^\w.-]|_/g, "-")}`;
}
