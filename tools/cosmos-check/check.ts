import { ErrorResponse } from "@azure/cosmos";
import { createAzCommands } from "./az-commands.ts";
import { type Context, checkAccount, judgeMissingRole } from "./checks.ts";
import { connect, getToken, isKeysOff, isMissingRole, isStatus } from "./client.ts";
import type { Finding } from "./finding.ts";
import type { CheckOptions } from "./options.ts";

/**
 * Runs all checks and returns one finding for each, in order. Stops at a finding that makes the remaining checks
 * pointless. Never rejects.
 */
export async function checkCosmos({ auth, ...options }: CheckOptions): Promise<Finding[]> {
  const signIn = "key" in auth ? auth : await getToken(auth.credential, options.endpoint);
  if (signIn === undefined) return [explainMissingToken()];

  const client = connect(options.endpoint, signIn);
  const principal = "principal" in signIn ? signIn.principal : undefined;
  const context: Context = { ...options, client, principal, az: createAzCommands(options) };
  const findings: Finding[] = [];
  try {
    for await (const finding of checkAccount(context)) findings.push(finding);
  } catch (error) {
    findings.push(explain(error, context));
  } finally {
    client.dispose();
  }
  return findings;
}

function explainMissingToken(): Finding {
  return {
    status: "FAIL",
    check: "sign-in",
    text: "no Entra ID token: this machine is not signed in to Azure and has no identity",
    fix: "az login\nor put the account key in the environment variable COSMOS_KEY and add: --key-env COSMOS_KEY",
  };
}

/** Quotes no message of the service or the client, because it may contain a secret. */
function explain(error: unknown, { endpoint, principal, az }: Context): Finding {
  const check = "account";
  if (isKeysOff(error)) {
    const text = "the account accepts no keys, as it should";
    return { status: "FAIL", check, text, fix: "omit --key-env and sign in: az login" };
  }
  if (isStatus(error, 401)) {
    return principal === undefined
      ? { status: "FAIL", check, text: "the key does not belong to this account", fix: az.listKeys }
      : { status: "FAIL", check, text: "the token is not valid for this account", fix: "az login" };
  }
  if (principal !== undefined && isMissingRole(error)) return judgeMissingRole(principal, az);
  if (isStatus(error, 403)) {
    const text = "403: the account's firewall blocks this machine, or this machine's clock is wrong";
    return { status: "FAIL", check, text, fix: az.showNetwork };
  }
  if (error instanceof ErrorResponse && typeof error.code === "number") {
    return { status: "FAIL", check, text: `${endpoint} returns ${error.code}/${error.substatus ?? 0}` };
  }
  const text = `${endpoint} does not respond (${nameReason(error)})`;
  return { status: "FAIL", check, text, fix: "check the name, the network and the account's firewall" };
}

function nameReason(error: unknown): string {
  if (!(error instanceof Error)) return "unknown";
  if (error.name === "AbortError") return "timeout";
  return String("code" in error ? error.code : error.name);
}
