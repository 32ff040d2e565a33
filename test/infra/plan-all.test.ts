// Plans of every parameter file that users get: what holds for each of them, and what a second deployment changes.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { field } from "../../services/runtime/field.ts";
import { imageVariable } from "../support/azd.ts";
import { environment, findBicepOrSkip, type Plan, startBicep } from "../support/bicep.ts";
import { buildIn, errorsIn, fileOf, makePlans, type Plans, planIn, shipped } from "../support/plans.ts";
import { root } from "../support/processes.ts";
import { buildParameters } from "../support/simulated-azure.ts";

const path = await findBicepOrSkip();
const apps = ["state-api", "group-lister", "welcome"];
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const isOfApp = (name: string) => apps.some((app) => name.startsWith(app));
const imagesOf = (tag: string) => ({
  SERVICE_STATE_API_IMAGE_NAME: `registry.azurecr.io/state-api:${tag}`,
  SERVICE_GROUP_LISTER_IMAGE_NAME: `registry.azurecr.io/group-lister:${tag}`,
  SERVICE_WELCOME_IMAGE_NAME: `registry.azurecr.io/welcome:${tag}`,
});

const release = { ...imagesOf("v2"), WELCOME: "Hello from v2!" };

describe.skipIf(!path)("the plan of every parameter file", { timeout: 120_000 }, () => {
  let plans: Plans;
  let elsewhere: Plans;
  let released: Plans;
  let byPipeline: Plans;
  beforeAll(async () => {
    const planAll = (env = {}) => makePlans(path ?? "", shipped, env);
    plans = await planAll(imagesOf("v1"));
    elsewhere = await planAll({ AZURE_ENV_NAME: "other" });
    released = await planAll(release);
    byPipeline = await planAll({ AZURE_PRINCIPAL_TYPE: "ServicePrincipal" });
  }, 300_000);

  // A name that was used before with another template is an error:
  // https://github.com/microsoft/azure-container-apps/issues/650
  test.for(shipped)("%s leaves the names of revisions to Azure", (name) => {
    expect(plans.of(name).text).not.toContain("revisionSuffix");
  });

  test.for(shipped)(
    "%s names no role assignment by the resource id of an identity, which outlives its principal",
    (name) => {
      const assignments = plans.of(name).resources.filter(({ type }) => type.endsWith("oleAssignments"));
      for (const assignment of assignments) {
        const name = assignment.name.replace(/reference\('[^']+', '[\d-]+'\)\.principalId/, "PRINCIPAL");
        expect(name).not.toMatch(/userAssignedIdentities\//i);
      }
      const hasVault = plans.of(name).resources.some(({ type }) => type.endsWith("/vaults"));
      expect(assignments.length > 0).toBe(hasVault || name === "state-api-scale-rules");
    },
  );

  test.for(shipped)("%s creates no two resources with the same id", (name) => {
    const ids = plans.of(name).resources.map(({ id }) => id.toLowerCase());
    expect(ids.length).toBe(new Set(ids).size);
  });

  test("no app has a resource that a parameter file of main.bicep creates, or that another app has", () => {
    const ids = ["containerapps", ...apps].flatMap((name) => plans.of(name).resources.map(({ id }) => id));
    expect(ids.length).toBe(new Set(ids).size);
  });

  test.for(shipped.filter((name) => !isOfApp(name)))(
    "%s under another AZURE_ENV_NAME has no resource of the first deployment",
    (name) => {
      const ids = new Set(plans.of(name).resources.map(({ id }) => id));
      expect(elsewhere.of(name).resources.filter(({ id }) => ids.has(id))).toEqual([]);
    },
  );

  test.for(shipped.filter((name) => !isOfApp(name)))("%s gives the same plan with other images and WELCOME", (name) => {
    expect(contentOf(released.of(name))).toEqual(contentOf(plans.of(name)));
  });

  test.for(shipped)("%s gives no role to AZURE_PRINCIPAL_ID as a user when it is a service principal", (name) => {
    const typesIn = (all: Plans) =>
      all
        .of(name)
        .resources.flatMap(({ properties }) =>
          field(properties, "principalId") === environment.AZURE_PRINCIPAL_ID
            ? [field(properties, "principalType")]
            : [],
        );
    expect(typesIn(byPipeline)).toEqual(typesIn(plans).map(() => "ServicePrincipal"));
    expect(typesIn(plans)).toEqual(name.startsWith("aks") ? ["User"] : []);
  });

  test.for(shipped.filter(isOfApp))("%s with another image and WELCOME changes these and nothing else", (name) => {
    const { resources } = plans.of(name);
    const container = `${resources.findIndex(({ type }) => type === "Microsoft.App/containerApps")}.properties.template.containers.0`;
    const { [`${container}.image`]: image, ...variables } = differences(resources, released.of(name).resources);
    expect(image).toMatch(/:v2$/);
    expect(Object.values(variables)).toEqual(
      ["state-api", "state-api-scale-rules", "welcome"].includes(name)
        ? [{ name: "WELCOME", value: "Hello from v2!" }]
        : [],
    );
    for (const path of Object.keys(variables)) {
      expect(path.replace(/\d$/, "")).toBe(`${container}.env.`);
    }
  });

  test.for([
    ["LISTED", "Subscription", "containerapps", /'resourceGroup' \| 'subscription'.* "'Subscription'"/],
    ["LISTED", "Subscription", "aks", /'resourceGroup' \| 'subscription'.* "'Subscription'"/],
    ["AKS_ZONES", "4", "aks", /AKS_ZONES 4 is not a list of zones\. Set it to none, or to a list/],
    ["AKS_ZONES", "1;3", "aks", /AKS_ZONES 1;3 is not a list of zones\. Set it to none, or to a list/],
    ["AKS_ZONES", "None", "aks", /AKS_ZONES None is not a list of zones\. Set it to none, or to a list/],
    ["KEY_VAULT_ADDON_IDENTITY", "yes", "aks", /KEY_VAULT_ADDON_IDENTITY yes is not valid\. Set it to true or false\./],
    ["SECRETS_OFFICER_TYPE", "user", "containerapps", /'ServicePrincipal' \| 'User'.* "'user'"/],
    ["SECRETS_OFFICER_TYPE", "user", "aks", /'ServicePrincipal' \| 'User'.* "'user'"/],
    ["WELCOME_ACCESS", "everyone", "welcome", /'addresses' \| 'anyone' \| 'nobody'.* "'everyone'"/],
    ["WELCOME_DOMAIN_CERTIFICATE", "Bound", "welcome", /'bound' \| 'requested'.* "'Bound'"/],
    ["WELCOME_DOMAIN_VALIDATION", "TXT", "welcome", /'CNAME' \| 'HTTP'.* "'TXT'"/],
    ["CANDIDATE_WEIGHT", "all", "welcome", /cannot convert provided value 'all' to integer/],
    ...shipped
      .filter((name) => name.startsWith("aks"))
      .map((name) => ["AZURE_PRINCIPAL_TYPE", "user", name, /'ServicePrincipal' \| 'User'.* "'user'"/] as const),
  ] as const)("%s=%s is rejected for %s", async ([variable, value, name, message]) => {
    const others = { WELCOME_DOMAIN: "welcome.example.com", LIVE: "welcome--0000001", SECRETS_OFFICER: "5".repeat(36) };
    const more = { ...others, [variable]: value };
    const errors = await errorsIn(path ?? "", { ...environment, ...more }, fileOf(name));
    expect(errors).toEqual([expect.stringMatching(message)]);
  });

  test.for(shipped.filter(isOfApp))(
    "%s cannot be deployed without its SERVICE_*_IMAGE_NAME and IMAGES",
    async (name) => {
      const [app = ""] = apps.filter((each) => name.startsWith(each));
      const variable = imageVariable(app);
      const message = `image /${app}:${version} names no registry. Set ${variable} to the image to deploy, such as REGISTRY.azurecr.io/${app}:TAG. Or set IMAGES to`;
      const env = { ...environment, [variable]: "", IMAGES: "" };
      await expect(planIn(path ?? "", env, fileOf(name))).rejects.toThrow(message);
    },
  );

  // test/support/plans.ts inserts the values of variables into the parameter files.
  test.for(shipped)("%s has the same plan with inserted values as with environment variables", async (name) => {
    const inserted = await planIn(path ?? "", { ...environment, ...release }, fileOf(name));
    expect(contentOf(inserted)).toEqual(contentOf(released.of(name)));
  });
});

describe.skipIf(!path)("values that are inserted into welcome.bicepparam", { timeout: 120_000 }, () => {
  test.for<[string, Record<string, string>]>([
    ["an empty value and special characters", { MY_ADDRESS: "", WELCOME: `It's $5, \${not} a \\ variable` }],
    ["a value that a type rejects", { WELCOME_ACCESS: "everyone" }],
    ["a value that is no number", { LIVE: "welcome--0000001", CANDIDATE_WEIGHT: "all" }],
    ["a value that fail() rejects", { WELCOME_DOMAIN: "welcome.example.com", WELCOME_DOMAIN_CERTIFICATE: "" }],
  ])("have the same result as environment variables with %s", async ([_what, variables]) => {
    const file = fileOf("welcome");
    const env = { ...environment, ...variables };
    const bicep = startBicep(path ?? "", { env });
    const { success, diagnostics } = await bicep.compileParameters(file);
    bicep.close();
    expect(await errorsIn(path ?? "", env, file)).toEqual(diagnostics.map(({ message }) => message));
    if (success) {
      const [inserted, built] = [await buildIn(path ?? "", env, file), await buildParameters(path ?? "", file, env)];
      expect(JSON.parse(built)).toMatchObject(JSON.parse(inserted));
    }
  });
});

/** A plan without the order of its outputs, which varies. */
function contentOf({ resources, outputs }: Plan) {
  return { resources, outputs };
}

/** The values of `after` at the paths where it differs from `before`. */
function differences(before: unknown, after: unknown, at = ""): Record<string, unknown> {
  if (Object.is(before, after)) return {};
  if (typeof before !== "object" || typeof after !== "object" || !before || !after) return { [at]: after };
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  const inside = [...keys].map((key) => differences(field(before, key), field(after, key), at ? `${at}.${key}` : key));
  return Object.assign({}, ...inside);
}
