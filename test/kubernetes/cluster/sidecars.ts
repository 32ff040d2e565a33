import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { findDaprd } from "../../../tools/daprd/find.ts";
import { flags } from "../../../tools/processes/flags.ts";
import { findPort, until } from "../../support/cluster.ts";
import { startAsInPod } from "../../support/cluster-add-ons.ts";
import { buildTimeout } from "../../support/kubernetes-tools.ts";
import { type Process, startService } from "../../support/processes.ts";
import { block, cluster, dapr, kubectl, listContainers, namespace, readyPod, tokenOf } from "./context.ts";

interface RunningPod {
  readonly service: Process;
  /** Origin of the sidecar's HTTP API. */
  readonly sidecar: string;
  /** Sends SIGTERM to the sidecar, and resolves when it has ended. */
  readonly stopSidecar: () => Promise<unknown>;
}

/** Runs services and sidecars as processes; the sidecars get what the Dapr injector added to their pods. */
export function describeSidecars(): void {
  describe("sidecars of overlays/local", () => {
    let stateApi: RunningPod;
    let welcome: RunningPod;
    afterAll(() => Promise.all([stateApi, welcome].map((pod) => pod?.service.end())));

    beforeAll(async () => {
      await kubectl("delete", "namespace", namespace, "--ignore-not-found");
      await cluster.sh("kubectl apply -k infra/kubernetes/overlays/local");
      await kubectl("wait", "deployments", "--all", "-n", namespace, "--for=condition=Available", "--timeout=60s");
      // A sidecar calls other sidecars on its own internal port, so both use one port, each on an address of its own.
      const internalPort = await findPort();
      stateApi = await startPod("state-api", "127.0.0.2", internalPort);
      welcome = await startPod("welcome", "127.0.0.1", internalPort);
    }, buildTimeout);

    async function startPod(name: string, address: string, internalPort: string): Promise<RunningPod> {
      const [appPort, httpPort] = [await findPort(), await findPort()];
      const service = await startService(name, { PORT: appPort, DAPR_HTTP_PORT: httpPort }, "/healthz");
      const pod = await readyPod(name);
      const [daprd] = listContainers(pod);
      const identity = pod.spec.volumes.find((volume) => volume.name === "dapr-identity-token");
      const audience = identity?.projected?.sources[0]?.serviceAccountToken?.audience;
      if (!daprd?.args) throw new Error(`the injector added no sidecar to ${name}`);
      const onLoopback = {
        "control-plane-address": dapr.operator,
        "sentry-address": dapr.sentry,
        "app-port": appPort,
        "dapr-listen-addresses": "127.0.0.1",
        "dapr-http-port": httpPort,
        "dapr-grpc-port": await findPort(),
        "dapr-internal-grpc-listen-address": address,
        "dapr-internal-grpc-port": internalPort,
        "dapr-public-listen-address": "127.0.0.1",
        "dapr-public-port": await findPort(),
        "metrics-listen-address": "127.0.0.1",
        "metrics-port": await findPort(),
      };
      const stopSidecar = startAsInPod(cluster, {
        path: await findDaprd(),
        args: [...daprd.args.slice(1), ...flags(onLoopback)], // daprd uses the last value of a repeated flag
        env: Object.fromEntries((daprd.env ?? []).flatMap(({ name, value }) => (value ? [[name, value]] : []))),
        token: await tokenOf(name, audience),
        hosts: `127.0.0.2 state-api-dapr.${namespace}.svc.cluster.local\n`,
      });
      const sidecar = `http://127.0.0.1:${httpPort}`;
      await until(`the sidecar of ${name} is healthy`, async () => {
        expect((await fetch(`${sidecar}/v1.0/healthz/outbound`)).status).toBe(204);
      });
      return { service, sidecar, stopSidecar };
    }

    test("Sentry accepts the tokens of the sidecars, and the operator sends the state store only to state-api", async () => {
      const metadata = async ({ sidecar }: RunningPod) => (await fetch(`${sidecar}/v1.0/metadata`)).json();
      const components = [{ name: "statestore", type: "state.in-memory" }];
      expect(await metadata(stateApi)).toMatchObject({ id: "state-api", components });
      expect(await metadata(welcome)).toMatchObject({ id: "welcome" });
      expect(await metadata(welcome)).not.toHaveProperty("components");
    });

    test("the Configuration allows the state API and blocks the secrets API with 404", async () => {
      const status = async (path: string) => (await fetch(`${stateApi.sidecar}${path}`)).status;
      expect(await status("/v1.0/state/statestore/nothing")).toBe(204);
      expect(await status("/v1.0/secrets/kubernetes/demosecret")).toBe(404);
    });

    test("welcome writes and reads state through both sidecars", async () => {
      const commands = block("docs/deploy/kubernetes.md", /^curl -X PUT.*\ncurl .*greeting$/);
      const output = await cluster.sh(commands.replaceAll("http://127.0.0.1:8082", welcome.service.origin));
      expect(output).toContain('{"hello":"world"}');
    });

    test("a sidecar still serves its service two seconds after SIGTERM", async () => {
      let hasEnded = false;
      stateApi.stopSidecar().then(() => {
        hasEnded = true;
      });
      await sleep(2_000);
      expect((await fetch(`${stateApi.sidecar}/v1.0/state/statestore/nothing`)).status).toBe(204);
      expect(hasEnded).toBe(false);
    });
  });
}
