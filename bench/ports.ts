import { freePorts } from "../test/support/processes.ts";

/** Free ports, which no other benchmark or test run on this machine gets meanwhile. */
async function claimPort(): Promise<number> {
  const [port = 0] = await freePorts(1);
  return port;
}

export const ports = {
  sidecar: { http: await claimPort(), grpc: await claimPort(), internal: await claimPort() },
  stateApi: await claimPort(),
  plainSdk: await claimPort(),
  groupLister: await claimPort(),
  bareHttp: await claimPort(),
  azure: await claimPort(),
  azureHttps: await claimPort(),
  helloWasm: await claimPort(),
  welcome: await claimPort(),
  withoutChecks: await claimPort(),
  welcomeWithoutChecks: await claimPort(),
  welcomeWithSignIn: await claimPort(),
};
