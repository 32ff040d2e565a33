import { createHash } from "node:crypto";
import type { Logger } from "../runtime/log.ts";
import { AzureError } from "./azure/error.ts";
import { type Cached, createCached } from "./cached.ts";

export interface ResourceGroup {
  readonly name: string;
  readonly location: string;
  readonly tags: Readonly<Record<string, string>>;
  readonly provisioningState: string | undefined;
}

export interface Listing {
  /** In Azure's order. */
  readonly groups: readonly ResourceGroup[];
  /** Name of the stand-in that invented the groups; undefined when they are Azure's. */
  readonly sampleData: string | undefined;
}

/** A listing, serialized once for all responses until the next listing. */
export interface Snapshot {
  /** When it was requested from Azure, in milliseconds since 1970. */
  readonly at: number;
  readonly names: Representation;
  readonly details: Representation;
  readonly sampleData: string | undefined;
}

interface Representation {
  readonly body: Buffer;
  readonly etag: string;
}

interface GroupsOptions {
  readonly list: () => Promise<Listing>;
  readonly config: { readonly GROUPS_MAX_AGE_MS: number; readonly GROUPS_MAX_STALE_MS: number };
  readonly log: Logger;
}

const HOLD_MS = 1_000;
/** Caps the wait that Azure requests, normally seconds or minutes, so that the service recovers from a wrong value. */
const MAX_HOLD_MS = 300_000;

/** The last listing, renewed on demand. After a failure, sends no request to Azure until Retry-After has passed. */
export function createGroups({ list, config, log }: GroupsOptions): Cached<Snapshot> {
  return createCached<Snapshot>({
    async load() {
      const at = Date.now();
      const { groups, sampleData } = await list().catch((error) => {
        log.warn({ err: error }, "failed to refresh the resource groups");
        throw error;
      });
      return { at, names: represent(groups.map(({ name }) => name)), details: represent(groups), sampleData };
    },
    freshUntil: ({ at }) => at + config.GROUPS_MAX_AGE_MS,
    usableUntil: ({ at }) => at + config.GROUPS_MAX_AGE_MS + config.GROUPS_MAX_STALE_MS,
    holdMs(error) {
      const demanded =
        error instanceof AzureError && error.retryAt !== undefined ? error.retryAt - Date.now() : HOLD_MS;
      return Math.min(Math.max(demanded, HOLD_MS), MAX_HOLD_MS);
    },
  });
}

function represent(value: unknown): Representation {
  const body = Buffer.from(JSON.stringify(value));
  return { body, etag: `"${createHash("sha256").update(body).digest("base64url")}"` };
}
