// Where a service finds the stand-in of Azure that `node stand-ins/azure/server.ts` starts.

export const httpPort = 8090;
export const httpsPort = 8453;

/** Not a secret: on Container Apps the platform makes a new one for every replica. */
export const identityHeader = "azure-stand-in";
