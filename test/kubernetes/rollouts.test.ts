// Releases welcome with the real Argo Rollouts, on a cluster like that of cluster.test.ts. It is a file of its own so
// that both run at the same time: most of their seconds are waits.
import { afterAll, beforeAll } from "vitest";
import { buildTimeout } from "../support/go-tools.ts";
import { describeAnalysis } from "./cluster/analysis.ts";
import { describeBlueGreen } from "./cluster/blue-green.ts";
import { setImages, setUp, tearDown } from "./cluster/context.ts";
import { describeRelease } from "./cluster/release.ts";

beforeAll(async () => {
  await setUp({ admission: false });
  await setImages("registry.example.com/samples"); // the clean-up of the page puts the setting back
}, buildTimeout);
afterAll(tearDown);

describeBlueGreen();
describeAnalysis();
describeRelease();
