/** Not a secret. The real Container Apps generates a secret value for each replica. */
export const identityHeader = "azure-stand-in";

/** The stand-in's host name in docker-compose.yml. */
export const composeHost = "azure-stand-in";
