import { expect, vi } from "vitest";
import type { Process } from "./processes.ts";

/** Waits until a sidecar has found its app, which is ready. Until then, calls of other sidecars to the app fail. */
export async function untilAppFound({ origin }: Process): Promise<void> {
  const health = async () => (await fetch(`${origin}/v1.0/healthz`)).status;
  await vi.waitFor(async () => expect(await health()).toBe(204), { timeout: 20_000, interval: 20 });
}
