/** Not a secret. The real Container Apps generates a secret value for each replica. */
export const identityHeader = "azure-stand-in";
