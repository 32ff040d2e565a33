import { generateKeyPairSync, type KeyObject, randomUUID, sign } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** An issuer of tokens to workloads, such as a Kubernetes cluster. It publishes its public keys. */
export interface FederatedIssuer {
  readonly issuer: string;
  /** A token like those that kubelet projects into pods, with `claims` and `header` overridden; `jti` is its id. */
  token(claims?: Record<string, unknown>, options?: { header?: Record<string, unknown>; key?: KeyObject }): string;
  close(): void;
}

export const subject = "system:serviceaccount:default:group-lister";

export async function startFederatedIssuer(): Promise<FederatedIssuer> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const keys = [{ ...publicKey.export({ format: "jwk" }), kid: "k1", use: "sig", alg: "RS256" }];
  const server = createServer(({ url }, res) => {
    const documents: Record<string, object> = {
      "/.well-known/openid-configuration": { issuer, jwks_uri: `${issuer}/keys` },
      "/keys": { keys },
    };
    res.end(JSON.stringify(documents[url ?? ""]));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    token(claims = {}, { header = {}, key = privateKey } = {}) {
      const now = Math.floor(Date.now() / 1000);
      const all = {
        iss: issuer,
        sub: subject,
        aud: ["api://AzureADTokenExchange"],
        iat: now,
        nbf: now,
        exp: now + 3_600,
        jti: randomUUID(),
        ...claims,
      };
      const content = [{ alg: "RS256", kid: "k1", ...header }, all]
        .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
        .join(".");
      return `${content}.${sign("sha256", Buffer.from(content), key).toString("base64url")}`;
    },
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
