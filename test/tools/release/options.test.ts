import { describe, expect, test } from "vitest";
import { OptionsError, readOptions, usage } from "../../../tools/release/options.ts";

const env = {
  AZURE_SUBSCRIPTION_ID: "11111111-2222-3333-4444-555555555555",
  AZURE_RESOURCE_GROUP: "rg-samples",
};
const image = "r.azurecr.io/welcome:1.0.1";

describe("the commands of npm run release", () => {
  test("name the app, its release.yaml and where it is in Azure", () => {
    expect(readOptions(["status", "welcome"], env)).toEqual({
      app: "welcome",
      file: "services/welcome/release.yaml",
      repeated: [],
      command: {
        kind: "status",
        json: false,
        azure: {
          target: { subscription: env.AZURE_SUBSCRIPTION_ID, resourceGroup: "rg-samples", app: "welcome" },
          manager: { origin: "https://management.azure.com", resource: "https://management.azure.com" },
          logs: { origin: "https://api.loganalytics.io", resource: "https://api.loganalytics.io" },
          authorityHost: "https://login.microsoftonline.com",
          workspace: undefined,
        },
      },
    });
  });

  test("pass the options of a release on as its goal", () => {
    const goalOf = (...args: string[]) => {
      const command = readOptions(args, env)?.command;
      return command?.kind === "release" ? command.goal : undefined;
    };
    expect(goalOf("run", "welcome", "--image", image, "--set", "A=1=2", "--set", "B=", "--retry")).toEqual({
      kind: "run",
      image,
      set: { A: "1=2", B: "" },
      retry: true,
      once: false,
      allowQueue: false,
    });
    expect(goalOf("run", "welcome", "--once", "--allow-queue")).toEqual({
      kind: "run",
      image: undefined,
      set: {},
      retry: false,
      once: true,
      allowQueue: true,
    });
    expect(goalOf("promote", "welcome", "--force")).toEqual({ kind: "promote", force: true });
    for (const step of ["2", "step 2 of 3"]) {
      const args = ["--revision", "welcome--r01234567", "--step", step];
      const approved = { revision: "welcome--r01234567", step: 2 };
      expect(goalOf("promote", "welcome", ...args)).toEqual({ kind: "promote", force: false, ...approved });
    }
    expect(goalOf("abort", "welcome")).toEqual({ kind: "abort" });
  });

  test("take the options over the environment", () => {
    const subscription = "99999999-2222-3333-4444-555555555555";
    const args = ["abort", "welcome", "--subscription", subscription, "--resource-group", "other", "--file", "a.yaml"];
    expect(readOptions(args, env)).toMatchObject({
      file: "a.yaml",
      repeated: ["--file", "a.yaml", "--subscription", subscription, "--resource-group", "other"],
      command: { azure: { target: { subscription, resourceGroup: "other" } } },
    });
  });

  test("need no Azure to print manifests of Argo Rollouts", () => {
    expect(readOptions(["plan", "welcome", "--argo", "--image", image], {})?.command).toEqual({
      kind: "argo",
      image,
      set: {},
    });
  });

  test("know the clouds and their endpoints", () => {
    const more = { AZURE_ENVIRONMENT: "AzureChinaCloud", AZURE_RESOURCE_MANAGER_ENDPOINT: "http://127.0.0.1:4000/" };
    expect(readOptions(["abort", "welcome"], { ...env, ...more })).toMatchObject({
      command: {
        azure: {
          manager: { origin: "http://127.0.0.1:4000", resource: "https://management.chinacloudapi.cn" },
          logs: { origin: "https://api.loganalytics.azure.cn" },
          authorityHost: "https://login.chinacloudapi.cn",
        },
      },
    });
  });

  test("print the usage for --help, with each command, option and exit code", () => {
    expect(readOptions(["--help"], {})).toBeUndefined();
    expect(readOptions(["run", "-h"], {})).toBeUndefined();
    for (const text of ["plan", "run", "promote", "abort", "status", "--set", "--force", "--resource-group"]) {
      expect(usage).toContain(text);
    }
    expect(usage.match(/^ {2}[0-3] {2}\S/gm)).toHaveLength(4);
    expect(Math.max(...usage.split("\n").map((line) => line.length))).toBeLessThanOrEqual(120);
  });
});

describe("wrong options", () => {
  const faultsOf = (args: string[], of: NodeJS.ProcessEnv = env) => {
    try {
      readOptions(args, of);
      return [];
    } catch (error) {
      if (!(error instanceof OptionsError)) throw error;
      return error.message.split("\n");
    }
  };

  test.each([
    [[], "A command is missing. Use one of plan, run, promote, abort, status."],
    [["start", "welcome"], "start is no command. Use one of plan, run, promote, abort, status."],
    [["run"], "The name of the app is missing, such as in: npm run release -- run welcome"],
    [["run", "../x"], "../x cannot be the name of a container app."],
    [["run", "welcome", "group-lister"], "Remove group-lister: a command releases one app."],
    [["plan", "welcome"], "plan needs --image REF, such as --image REGISTRY.azurecr.io/welcome:1.0.1"],
    [["status", "welcome", "--force"], "--force is for promote, not for status."],
    [["promote", "welcome", "--step", "2"], "--step needs --revision NAME: each release has such a step."],
    [
      ["promote", "welcome", "--revision", "welcome--r01234567", "--step", "bake"],
      '--step bake is no step. Write it like 2 or "step 2 of 3".',
    ],
    [["abort", "welcome", "--image", image], "--image is for plan and run, not for abort."],
    [["run", "welcome", "--set", "1A=b"], "--set 1A is no variable. Write --set NAME=VALUE."],
    [["run", "welcome", "--set", "SECRET"], "--set SECRET is no variable. Write --set NAME=VALUE."],
    [["run", "welcome", "--set", "A=1", "--set", "A=2"], "--set A is given twice."],
    [["run", "welcome", "--image", "a b"], "--image a b is no image. Write it like REGISTRY.azurecr.io/welcome:1.0.1"],
    [
      ["run", "welcome", "--resource-group", "a/b"],
      "--resource-group a/b is not valid. Set AZURE_RESOURCE_GROUP. To see yours: az group list --query [].name --output tsv",
    ],
  ])("%j: %s", (args, fault) => {
    expect(faultsOf(args)).toContain(fault);
  });

  test.each(["welcome", "r.example/welcome:latest", "localhost:5000/welcome", "r.example/welcome:"])(
    "refuse the image %s, which can be another one tomorrow",
    (reference) => {
      expect(faultsOf(["run", "welcome", "--image", reference])).toEqual([
        expect.stringContaining("can be another image tomorrow"),
      ]);
    },
  );

  test.each([
    "localhost:5000/a/welcome:1",
    `welcome@sha256:${"a".repeat(64)}`,
    `welcome:latest@sha256:${"a".repeat(64)}`,
  ])("do not include the image %s", (reference) => {
    expect(faultsOf(["run", "welcome", "--image", reference])).toEqual([]);
  });

  test("are all in one message, and name no value of a variable", () => {
    const faults = faultsOf(["run", "welcome", "--json", "--set", "1=secret", "--image", "welcome"], {
      AZURE_LOG_ANALYTICS_WORKSPACE_ID: "name",
      AZURE_RESOURCE_MANAGER_ENDPOINT: "http://example.com",
      AZURE_ENVIRONMENT: "Moon",
    });
    expect(faults).toHaveLength(8);
    expect(faults.join("\n")).not.toContain("secret");
    expect(faults).toContain(
      "--subscription is missing. Set it, such as by: export AZURE_SUBSCRIPTION_ID=$(az account show --query id --output tsv)",
    );
    expect(faults).toContain(
      "AZURE_RESOURCE_MANAGER_ENDPOINT=http://example.com must be a URL such as https://management.azure.com",
    );
  });

  test("include an option that does not exist, one without its value, and one with a value too many", () => {
    expect(faultsOf(["run", "welcome", "--imgae", "x"])).toEqual(["--imgae is no option. Write --image."]);
    expect(faultsOf(["run", "welcome", "--promote"])).toEqual([
      expect.stringMatching(/^--promote is no option\. Remove it/),
    ]);
    expect(faultsOf(["run", "welcome", "-x"])).toEqual([expect.stringMatching(/^-x is no option\. Remove it/)]);
    expect(faultsOf(["run", "welcome", "--image"])).toEqual(["--image needs a value."]);
    expect(faultsOf(["run", "welcome", "--image", "--once"])).toEqual(["--image needs a value."]);
    expect(faultsOf(["run", "welcome", "--once=2"])).toEqual(["--once takes no value."]);
  });
});
