// The provider Microsoft.ContainerRegistry: images, and the quick builds of ACR Tasks (`az acr build`).
// https://learn.microsoft.com/rest/api/containerregistrytasks/registries/schedule-run
import { randomUUID } from "node:crypto";
import { field } from "../../../services/runtime/field.ts";
import type { AzureRequest, AzureResponse } from "../../../stand-ins/azure/http.ts";
import { ok } from "../../../stand-ins/azure/resource-manager-responses.ts";
import { readBody } from "./body.ts";
import { ArmFault } from "./faults.ts";
import type { Operations } from "./operations.ts";
import { deniedRun } from "./storage.ts";
import type { Store } from "./store.ts";

export interface Registries {
  hasImage(image: string): boolean;
  /** Adds an image, as `docker push` does. @param image with its registry */
  push(image: string): void;
  /** Runs an action on a registry. Returns undefined when the request names none. */
  handle(request: AzureRequest, path: string, store: Store, operations: Operations): AzureResponse | undefined;
}

export interface RegistryOptions {
  /** Whether ACR Tasks build images. Free trials have none. */
  readonly hasTasks: boolean;
  /** Origin of the storage for the sources of a build and its log. */
  readonly storage: string;
}

export function createRegistries({ hasTasks, storage }: RegistryOptions): Registries {
  const images = new Set<string>();
  return {
    hasImage: (image) => images.has(image),
    push: (image) => void images.add(image),
    handle(request, path, store, operations) {
      const [, id = "", run, action] =
        /^(.+\/Microsoft\.ContainerRegistry\/registries\/[^/]+)\/(?:runs\/([^/]+)\/)?(listBuildSourceUploadUrl|scheduleRun|listLogSasUrl|importImage)$/i.exec(
          path,
        ) ?? [];
      const registry = store.find(id);
      if (request.method !== "POST" || !registry) return undefined;
      const add = (names: unknown) => {
        for (const name of names as string[]) images.add(`${registry.properties.loginServer}/${name}`);
      };
      switch (action?.toLowerCase()) {
        case "listbuildsourceuploadurl":
          return ok({ uploadUrl: `${storage}/sources/${randomUUID()}.tar.gz`, relativePath: "source.tar.gz" });
        case "schedulerun": {
          if (!hasTasks) {
            // https://github.com/Azure-Samples/azure-search-openai-demo/issues/2592
            const message = `ACR Tasks requests for the registry ${registry.name} and ${id.split("/")[2]} are not permitted. Please file an Azure support request at http://aka.ms/azuresupport for assistance.`;
            throw new ArmFault(400, "TasksOperationsNotAllowed", message);
          }
          // The agents build outside of the network, so the run fails: https://github.com/Azure/acr/issues/603
          const runId = registry.properties.publicNetworkAccess === "Disabled" ? deniedRun : "cf1";
          if (runId !== deniedRun) add(readBody(request).imageNames);
          return ok({ id: `${id}/runs/${runId}`, name: runId, properties: { runId, status: "Queued" } });
        }
        case "listlogsasurl":
          return ok({ logLink: `${storage}/logs/${run}.log` });
        default: {
          const { source, targetTags } = readBody(request);
          const image = String(field(source, "sourceImage"));
          if (/:.*@/.test(image)) {
            // https://github.com/Azure/azure-cli/issues/16791
            const message = `Invalid value ${image} for property parameters.Source.SourceImage for resource name ${registry.name}. Kindly refer to the docs: https://aka.ms/acr/import`;
            throw new ArmFault(400, "BadRequest", message);
          }
          add(targetTags);
          return operations.accept(request.url);
        }
      }
    },
  };
}
