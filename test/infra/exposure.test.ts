// Who can call the apps of Container Apps: for each parameter file, in each environment that changes that, no app
// answers callers of any address unless they have signed in, and state-api and group-lister answer other apps of the
// environment only with DIRECT_CALLS.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { at, listAt } from "../support/at.ts";
import { environment, findBicepOrSkip, type Resource } from "../support/bicep.ts";
import { fileOf, planIn, shipped } from "../support/plans.ts";
import { root } from "../support/processes.ts";

const appType = "Microsoft.App/containerApps";
const ofTests = readdirSync(join(root, "test/infra/plans")).map((name) => name.replace(/\.bicepparam$/, ""));
const names = [...shipped, ...ofTests];

type Item = Pick<Resource, "type" | "name" | "properties">;

/** The environment variables of an app. */
const variablesOf = (properties: object) =>
  Object.fromEntries(
    listAt(properties, "template.containers.0.env").map((variable) => [
      field(variable, "name"),
      field(variable, "value"),
    ]),
  );

/**
 * Whether the app checks the token of each caller itself. The check of the platform is not enough: Microsoft documents
 * no rule how `excludedPaths` matches, so `/` may leave out every path.
 */
function checksTokens(properties: object): boolean {
  const { SIGN_IN_CLIENT_ID, SIGN_IN_TENANT_ID, DIRECT_CALLS } = variablesOf(properties);
  return !!SIGN_IN_CLIENT_ID && !!SIGN_IN_TENANT_ID && DIRECT_CALLS === undefined;
}

/** Names of the apps that answer a caller of any address without sign-in. */
function openApps(resources: readonly Item[]): string[] {
  const platformChecks = (app: string) =>
    resources.some(
      ({ type, name, properties }) =>
        type === `${appType}/authConfigs` &&
        name === `${app}/current` &&
        at(properties, "platform.enabled") === true &&
        at(properties, "globalValidation.unauthenticatedClientAction") === "Return401" &&
        listAt(properties, "globalValidation.excludedPaths").every((path) => !String(path).includes("*")),
    );
  return resources
    .filter(({ type }) => type === appType)
    .filter(({ name, properties }) => {
      const ingress = at(properties, "configuration.ingress");
      const rules = (field(ingress, "ipSecurityRestrictions") ?? []) as object[];
      const isRestricted =
        rules.length > 0 &&
        rules.every(
          (rule) =>
            field(rule, "action") === "Allow" && Number(String(field(rule, "ipAddressRange")).split("/")[1]) >= 8,
        );
      const otherPorts = (field(ingress, "additionalPortMappings") ?? []) as object[];
      const isExternal = field(ingress, "external") === true;
      const signsIn = checksTokens(properties) && platformChecks(name);
      // Restrictions and sign-in are of HTTP ingress: https://learn.microsoft.com/azure/container-apps/ingress-overview
      return (isExternal && !isRestricted && !signsIn) || otherPorts.some((port) => field(port, "external"));
    })
    .map(({ name }) => name);
}

describe("the check of a plan for apps that answer anyone", () => {
  const rule = (ipAddressRange: string, action = "Allow") => ({ action, ipAddressRange });
  const signIn = { SIGN_IN_CLIENT_ID: "client", SIGN_IN_TENANT_ID: "tenant" };
  const app = (ingress: object, variables: Record<string, string> = signIn) => ({
    type: appType,
    name: "app",
    properties: {
      configuration: { ingress },
      template: { containers: [{ env: Object.entries(variables).map(([name, value]) => ({ name, value })) }] },
    },
  });
  const auth = (globalValidation: object, enabled = true) => ({
    type: `${appType}/authConfigs`,
    name: "app/current",
    properties: { platform: { enabled }, globalValidation },
  });
  const anyone = { external: true, ipSecurityRestrictions: [] };
  const open = app(anyone);
  const checked = { unauthenticatedClientAction: "Return401", excludedPaths: ["/"] };

  test.for([
    ["without a restriction", [open]],
    [
      "with a restriction that admits half of all addresses",
      [app({ external: true, ipSecurityRestrictions: [rule("0.0.0.0/1")] })],
    ],
    [
      "with a restriction that only denies",
      [app({ external: true, ipSecurityRestrictions: [rule("203.0.113.7/32", "Deny")] })],
    ],
    [
      "with another external port",
      [app({ external: false, additionalPortMappings: [{ external: true, targetPort: 9464 }] })],
    ],
    ["with a sign-in that is off", [open, auth(checked, false)]],
    ["with the sign-in of the platform alone", [app(anyone, {}), auth(checked)]],
    ["with its own sign-in without a tenant", [app(anyone, { SIGN_IN_CLIENT_ID: "client" }), auth(checked)]],
    [
      "with sign-in that also serves direct calls",
      [app(anyone, { ...signIn, DIRECT_CALLS: "anywhere" }), auth(checked)],
    ],
    [
      "with a sign-in that lets anonymous callers pass",
      [open, auth({ ...checked, unauthenticatedClientAction: "AllowAnonymous" })],
    ],
    ["with a sign-in that leaves out all paths", [open, auth({ ...checked, excludedPaths: ["/*"] })]],
  ] as const)("finds an app %s", ([_what, resources]) => {
    expect(openApps(resources)).toEqual(["app"]);
  });

  test.for([
    ["inside the environment", [app({ external: false })]],
    ["that one address can call", [app({ external: true, ipSecurityRestrictions: [rule("203.0.113.7/32")] })]],
    ["that needs sign-in", [open, auth(checked)]],
  ] as const)("accepts an app %s", ([_what, resources]) => {
    expect(openApps(resources)).toEqual([]);
  });
});

const path = await findBicepOrSkip();

describe.skipIf(!path)("parameter files", { timeout: 300_000 }, () => {
  const signIn = { WELCOME_SIGN_IN_CLIENT_ID: "44444444-4444-4444-4444-444444444444" };
  const environments = {
    "as in the pages": {},
    "without MY_ADDRESS": { MY_ADDRESS: "" },
    "with DIRECT_CALLS=anywhere": { DIRECT_CALLS: "anywhere" },
    "with DIRECT_CALLS=anywhere, without MY_ADDRESS": { DIRECT_CALLS: "anywhere", MY_ADDRESS: "" },
    "with sign-in": signIn,
    "with WELCOME_ACCESS=anyone": { WELCOME_ACCESS: "anyone" },
    "with WELCOME_ACCESS=anyone and sign-in": { WELCOME_ACCESS: "anyone", ...signIn },
    "with a candidate": { LIVE: "welcome--0000001", CANDIDATE_WEIGHT: "20" },
  };
  const [first = ""] = Object.keys(environments);
  /** By environment and parameter file: the plan's resources, or the message that rejects the file. */
  const results = new Map<string, readonly Resource[] | string>();

  beforeAll(async () => {
    let planned = names;
    for (const [what, variables] of Object.entries(environments)) {
      for (const name of planned) {
        const result = await planIn(path ?? "", { ...environment, ...variables }, fileOf(name)).then(
          ({ resources }) => resources,
          (error: Error) => error.message,
        );
        results.set(`${what}: ${name}`, result);
      }
      // The other environments need only the files that the first plans show to have an app.
      planned = names.filter((name) => {
        const result = results.get(`${first}: ${name}`) ?? "";
        return typeof result === "string" || result.some(({ type }) => type === appType);
      });
    }
  }, 300_000);

  test.for(Object.keys(environments))("%s, no app answers callers of any address without sign-in", (what) => {
    const apps = [...results].filter(([name]) => name.startsWith(`${what}: `));
    expect(apps.map(([name]) => name)).toEqual(expect.arrayContaining([`${what}: welcome`]));
    const open = apps.filter(([, result]) => typeof result !== "string" && openApps(result).length > 0);
    expect(open.map(([name]) => name)).toEqual([]);
  });

  test("only WELCOME_ACCESS=anyone without sign-in and DIRECT_CALLS without MY_ADDRESS are rejected", () => {
    const rejected = [...results].filter(([, result]) => typeof result === "string");
    expect(Object.fromEntries(rejected)).toEqual({
      "with WELCOME_ACCESS=anyone: welcome": expect.stringContaining("Set WELCOME_SIGN_IN_CLIENT_ID to the client id"),
      "with DIRECT_CALLS=anywhere, without MY_ADDRESS: group-lister": "Compilation failed",
      "with DIRECT_CALLS=anywhere, without MY_ADDRESS: state-api": "Compilation failed",
      "with DIRECT_CALLS=anywhere, without MY_ADDRESS: state-api-scale-rules": "Compilation failed",
    });
  });

  test("state-api and group-lister answer calls of other apps without a token only with DIRECT_CALLS=anywhere", () => {
    const direct = [...results].filter(
      ([, result]) =>
        typeof result !== "string" &&
        result.some(
          ({ type, name, properties }) =>
            type === appType && name !== "welcome" && variablesOf(properties).DIRECT_CALLS !== undefined,
        ),
    );
    expect(direct.map(([name]) => name).sort()).toEqual([
      "with DIRECT_CALLS=anywhere: group-lister",
      "with DIRECT_CALLS=anywhere: state-api",
      "with DIRECT_CALLS=anywhere: state-api-scale-rules",
    ]);
  });

  test("with WELCOME_ACCESS=anyone and sign-in, every address reaches the sign-in page", () => {
    const [welcome] = results.get("with WELCOME_ACCESS=anyone and sign-in: welcome") ?? [];
    expect(at(welcome, "properties.configuration.ingress")).toMatchObject({
      external: true,
      ipSecurityRestrictions: [],
    });
  });
});
