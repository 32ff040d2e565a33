// Changes of infra/bicep that a test must notice. test/mutation/bicep.ts applies them.

export interface Mutant {
  /** In infra/bicep. */
  readonly file: string;
  /** Occurs once in the file. */
  readonly find: string;
  readonly replace: string;
  /** Name of the test file in test/infra that fails. */
  readonly test: string;
}

type Change = readonly [find: string, replace: string, test: string];

const changes: Readonly<Record<string, readonly Change[]>> = {
  "main.bicep": [
    [
      "output STATE_API_CLIENT_ID string = stateApiIdentity",
      "output STATE_API_CLIENT_ID string = welcomeIdentity",
      "plan-wiring",
    ],
    [
      "output GROUP_LISTER_CLIENT_ID string = groupListerIdentity",
      "output GROUP_LISTER_CLIENT_ID string = stateApiIdentity",
      "plan-wiring",
    ],
    [
      "output WELCOME_CLIENT_ID string = welcomeIdentity",
      "output WELCOME_CLIENT_ID string = groupListerIdentity",
      "plan-wiring",
    ],
    ["dependsOn: [logs, cosmos, appsNetwork]", "dependsOn: [logs, appsNetwork]", "plan-wiring"],
    ["dependsOn: [logs, registry, cosmos,", "dependsOn: [logs, cosmos,", "plan-wiring"],
    ["dependsOn: [logs, registry, cosmos,", "dependsOn: [logs, registry,", "plan-aks"],
    ["?? '' }\n  dependsOn: [registry]", "?? '' }", "plan-wiring"],
    ["dependsOn: [registry, cosmos, aks, containerApps]", "dependsOn: [registry, cosmos]", "plan-options"],
    ["uniqueString(subscription().id, name, location)", "uniqueString(subscription().id, location)", "plan-wiring"],
    ["uniqueString(subscription().id, name, location)", "uniqueString(subscription().id, name)", "plan-wiring"],
    ["principalId: stateApiIdentity.outputs", "principalId: welcomeIdentity.outputs", "plan"],
    ["principalId: welcomeIdentity.outputs", "principalId: groupListerIdentity.outputs", "plan"],
    [
      "  scope: group\n  params: { principalId: groupListerIdentity.outputs",
      "  scope: group\n  params: { principalId: stateApiIdentity.outputs",
      "plan",
    ],
    ["identityName: identityNames.stateApi", "identityName: identityNames.welcome", "plan-wiring"],
    ["firewall: hosting.on == 'aks' ? firewall : null", "firewall: firewall", "plan-options"],
    ["? 'Enabled' : 'Disabled'", "? 'Disabled' : 'Enabled'", "plan-options"],
    ["= if (lock) {", "= if (!lock) {", "plan-options"],
  ],
  "validate.bicep": [
    [
      "parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26",
      "parseCidr(hosting.?network.?prefix ?? '10.0.0.0/25').cidr > 25",
      "plan-wiring",
    ],
    [
      "parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 26",
      "parseCidr(hosting.?network.?prefix ?? '10.0.0.0/26').cidr > 27",
      "plan-wiring",
    ],
    ["hosting.systemPool.min > hosting.systemPool.max", "hosting.userPool.min > hosting.systemPool.max", "refused"],
    ["parseCidr(range).cidr < 8", "parseCidr(range).cidr < 1", "refused"],
    ["access.who == 'anyone' && signIn == null", "access.who == 'anyone' && signIn != null", "refused"],
  ],
  "apps/group-lister.bicep": [["identity.properties.clientId", "identity.properties.principalId", "plan-wiring"]],
  "apps/state-api.bicep": [
    ["directCalls(access),", "[{ name: 'DIRECT_CALLS', value: 'anywhere' }],", "plan-container-apps"],
  ],
  "apps/welcome.bicep": [
    ["identityUsers: 'None'", "identityUsers: 'All'", "plan-container-apps"],
    ["'Return401'", "'AllowAnonymous'", "plan-container-apps"],
    ["  '/api/version'\n", "  '/api/version'\n  '/api/groups'\n", "services"],
  ],
  "modules/container-app.bicep": [
    ["targetPort: port", "targetPort: 3000", "plan-container-apps"],
    ["external: access.who != 'nobody'", "external: true", "plan-container-apps"],
    ["allowInsecure: false", "allowInsecure: true", "plan-container-apps"],
    ["action: 'Allow'", "action: 'Deny'", "plan-container-apps"],
    ["weight: 100 - candidate!.weight", "weight: candidate!.weight", "plan-container-apps"],
    ["label: 'blue'", "label: 'live'", "plan-container-apps"],
    ["candidate == null ? 'Single' : 'Multiple'", "candidate == null ? 'Multiple' : 'Single'", "plan-container-apps"],
    ["httpGet: { path: '/readyz'", "httpGet: { path: '/healthz'", "plan-container-apps"],
    ["maxReplicas: scale.max", "maxReplicas: scale.min", "plan-container-apps"],
    ["pullIdentity.id, lifecycle: 'None'", "pullIdentity.id, lifecycle: 'All'", "plan-container-apps"],
    [
      "keyVaultUrl: secret!.url, identity: identity.id",
      "keyVaultUrl: secret!.url, identity: pullIdentity.id",
      "plan-container-apps",
    ],
    ["server: server, identity: pullIdentity.id", "server: server, identity: identity.id", "plan-container-apps"],
    ["terminationGracePeriodSeconds: 30", "terminationGracePeriodSeconds: 5", "plan-container-apps"],
  ],
  "modules/container-apps.bicep": [
    ["existing = {\n  name: identityName", "existing = {\n  name: 'id-welcome'", "plan-wiring"],
    ["  dependsOn: [environment]\n", "", "plan-wiring"],
  ],
  "modules/container-apps-environment.bicep": [
    ["internal: private", "internal: false", "plan-container-apps"],
    ["encryption: { enabled: true }", "encryption: { enabled: false }", "plan-container-apps"],
  ],
  "modules/container-apps-network.bicep": [
    ["parseCidr(prefix).cidr + 1, 0)", "parseCidr(prefix).cidr + 2, 0)", "plan-wiring"],
    ["parseCidr(prefix).cidr + 2, 2)", "parseCidr(prefix).cidr + 2, 1)", "plan-wiring"],
  ],
  "modules/state-store.bicep": [["scopes: ['state-api']", "scopes: ['welcome']", "plan-container-apps"]],
  "modules/cosmos.bicep": [
    ["disableLocalAuth: credential == 'identity'", "disableLocalAuth: credential == 'key'", "plan"],
    ["'00000000-0000-0000-0000-000000000002'", "'00000000-0000-0000-0000-000000000001'", "plan"],
    ["/colls/", "/", "plan"],
    ["'Session'", "'Eventual'", "plan"],
    ["defaultTtl: -1", "defaultTtl: 3600", "plan"],
    ["'/partitionKey'", "'/id'", "plan"],
  ],
  "modules/key-vault.bicep": [
    ["enableRbacAuthorization: true", "enableRbacAuthorization: false", "plan"],
    ["? 'Allow' : 'Deny'", "? 'Deny' : 'Allow'", "plan-options"],
    ["  dependsOn: [secret]\n", "", "plan-wiring"],
  ],
  "modules/secret-reader.bicep": [
    ["scope: vault::secret", "scope: vault", "plan"],
    ["4633458b-17de-408a-b874-0445c86b69e6", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7", "plan"],
  ],
  "modules/registry.bicep": [["adminUserEnabled: false", "adminUserEnabled: true", "plan"]],
  "modules/registry-puller.bicep": [
    ["7f951dda-4ed3-4680-a7ca-43fe172d538d", "8311e382-0749-4cb8-b61a-304f252e45ec", "plan"],
  ],
  "modules/reader-of-group.bicep": [
    ["acdd72a7-3385-48ef-bd42-f606fba81ae7", "b24988ac-6180-42a0-ab88-20f7382dd24c", "plan"],
  ],
  "modules/network-contributor.bicep": [["scope: network::subnet", "scope: network", "plan"]],
  "modules/queue-reader.bicep": [
    ["19e7f393-937e-4f77-808e-94535e297925", "974c5e8b-45b9-4653-ba55-5f855dd0fb88", "plan-container-apps"],
  ],
  "modules/private-endpoints.bicep": [["  dependsOn: [vaultEndpoint]\n", "", "plan-options"]],
  "modules/aks.bicep": [
    ["serviceAccount: 'welcome'", "serviceAccount: 'state-api'", "plan-aks"],
    ["cluster.outputs.kubeletPrincipalId }", "cluster.outputs.keyVaultAddonPrincipalId }", "plan-aks"],
    ["  dependsOn: [cluster]\n", "", "plan-wiring"],
  ],
  "modules/aks-network.bicep": [["'10.1.4.0/24'", "'10.1.0.0/24'", "plan-wiring"]],
  "modules/federated-credential.bicep": [["serviceaccount:dapr-samples:", "serviceaccount:default:", "plan-aks"]],
  "modules/cluster.bicep": [
    ["nodeTaints: ['CriticalAddonsOnly=true:NoSchedule']", "nodeTaints: []", "plan-aks"],
    ["vmSize: systemPool.vmSize", "vmSize: userPool.vmSize", "plan-aks"],
    ["disableLocalAccounts: true", "disableLocalAccounts: false", "plan-aks"],
    ["workloadIdentity: { enabled: true }", "workloadIdentity: { enabled: false }", "plan-aks"],
    ["enablePrivateCluster: isPrivate", "enablePrivateCluster: false", "plan-aks"],
    ["networkPolicy: 'cilium'", "networkPolicy: 'calico'", "plan-aks"],
    ["cidrHost(serviceCidr, 9)", "cidrHost(serviceCidr, 0)", "plan-aks"],
  ],
};

export const mutants: readonly Mutant[] = Object.entries(changes).flatMap(([file, list]) =>
  list.map(([find, replace, test]) => ({ file, find, replace, test })),
);
