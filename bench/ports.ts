export const ports = {
  sidecar: { http: 13_500, grpc: 13_501, internal: 13_502 },
  stateApi: 13_504,
  plainSdk: 13_505,
  groupLister: 13_506,
  bareHttp: 13_507,
  azure: 13_508,
  azureHttps: 13_509,
  helloWasm: 13_510,
  welcome: 13_511,
  withoutChecks: 13_512,
  welcomeWithoutChecks: 13_513,
  welcomeWithSignIn: 13_514,
};
