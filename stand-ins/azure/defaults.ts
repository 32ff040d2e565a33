// Ports and header of the Azure stand-in that `node stand-ins/azure/server.ts` starts.

export const httpPort = 8090;
export const httpsPort = 8453;

/** Not a secret. The real Container Apps generates a secret value for each replica. */
export const identityHeader = "azure-stand-in";
