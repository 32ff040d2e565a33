// Signs the user in with Entra ID: authorization code flow with PKCE, by redirects, without a secret.
// Tokens stay in sessionStorage, so they end with the tab.
import type * as Msal from "@azure/msal-browser";
import type { SignInSettings } from "../api.ts";

/** Defined by msal-browser.js, which `loadMsal` loads. */
declare const msal: typeof Msal;

export interface Account {
  /** `expired`: the user was signed in, and the token cannot be renewed without the user. */
  readonly status: "signed-out" | "signed-in" | "expired";
  /** The user's name; undefined when signed out. */
  readonly name: string | undefined;
  /** Entra ID's reason for which the last sign-in failed. */
  readonly failure: string | undefined;
  /** Leaves the page; Entra ID returns to it. */
  signIn(): Promise<void>;
  signOut(): Promise<void>;
  /**
   * An access token for this service; renews an expired one. Undefined when the user has to sign in.
   * @param options renew: gets a new one even if the old one has not expired
   * @throws when Entra ID is unreachable
   */
  getToken(options?: { readonly renew?: boolean }): Promise<string | undefined>;
}

/**
 * Completes a sign-in that is under way, or finds the user of this tab.
 * @param onChange called when `status` changes
 */
export async function openAccount(
  { clientId, authority, scope }: Extract<SignInSettings, { required: true }>,
  onChange: () => void,
): Promise<Account> {
  await loadMsal();
  const page = location.origin + location.pathname; // an ingress may add a prefix
  const endpoint = (name: string) => `${authority}/oauth2/v2.0/${name}`;
  const client = new msal.PublicClientApplication({
    auth: {
      clientId,
      authority,
      redirectUri: page,
      postLogoutRedirectUri: page,
      // With both, MSAL need not ask Entra ID for them before the user can sign in.
      knownAuthorities: [new URL(authority).host],
      authorityMetadata: JSON.stringify({
        issuer: `${authority}/v2.0`,
        authorization_endpoint: endpoint("authorize"),
        token_endpoint: endpoint("token"),
        end_session_endpoint: endpoint("logout"),
        jwks_uri: `${authority}/discovery/v2.0/keys`,
      }),
    },
  });
  await client.initialize();
  const scopes = [scope];
  let failure: string | undefined;
  const result = await client.handleRedirectPromise().catch((error) => {
    failure = error instanceof Error ? error.message : String(error);
    return null;
  });
  const user = result?.account ?? client.getAllAccounts()[0];
  let status: Account["status"] = user ? "signed-in" : "signed-out";

  return {
    get status() {
      return status;
    },
    name: user && (user.name ?? user.username),
    failure,
    signIn: () => client.loginRedirect({ scopes, ...(user ? { loginHint: user.username } : {}) }),
    signOut: () => client.logoutRedirect(user ? { account: user } : {}),
    async getToken({ renew = false } = {}) {
      if (!user || status !== "signed-in") return undefined;
      // Neither policy opens an iframe, which the content security policy of the page forbids.
      const { AccessTokenAndRefreshToken, RefreshToken } = msal.CacheLookupPolicy;
      const cacheLookupPolicy = renew ? RefreshToken : AccessTokenAndRefreshToken;
      try {
        const { accessToken } = await client.acquireTokenSilent({ account: user, scopes, cacheLookupPolicy });
        return accessToken;
      } catch (error) {
        const needsUser =
          error instanceof msal.InteractionRequiredAuthError ||
          (error instanceof msal.AuthError && error.errorCode === "invalid_grant");
        if (!needsUser) throw error;
        status = "expired";
        onChange();
        return undefined;
      }
    },
  };
}

function loadMsal(): Promise<void> {
  const script = document.createElement("script");
  script.src = "msal-browser.js";
  return new Promise((resolve, reject) => {
    script.addEventListener("load", () => resolve());
    script.addEventListener("error", () => reject(new Error("msal-browser.js could not be loaded")));
    document.head.append(script);
  });
}
