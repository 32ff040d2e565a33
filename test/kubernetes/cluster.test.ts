// Applies infra/kubernetes to a cluster whose control plane and add-ons are real programs; only the nodes are
// simulated. The tests share one cluster and run in this order: the first group needs a cluster without the suite, and
// the others use what earlier ones have applied.
import { afterAll, beforeAll } from "vitest";
import { buildTimeout } from "../support/go-tools.ts";
import { setUp, tearDown } from "./cluster/context.ts";
import { describeGateway } from "./cluster/gateway.ts";
import { describeIdentityAlone } from "./cluster/identity-alone.ts";
import { describeKeyVault } from "./cluster/key-vault.ts";
import { describePodIdentity } from "./cluster/pod-identity.ts";
import { describePolicy } from "./cluster/policy.ts";
import { describeSidecars } from "./cluster/sidecars.ts";
import { describeStandalone } from "./cluster/standalone.ts";
import { describeSuite } from "./cluster/suite.ts";
import { describeWasm } from "./cluster/wasm.ts";
import { describeWorkloadIdentity } from "./cluster/workload-identity.ts";

beforeAll(() => setUp(), buildTimeout);
afterAll(tearDown);

describeIdentityAlone();
describeSuite();
describeWorkloadIdentity();
describePodIdentity();
describeKeyVault();
describeGateway();
describePolicy();
describeSidecars();
describeWasm();
describeStandalone();
