#!/bin/sh
# azd hook: registers Microsoft.PolicyInsights, which the Azure Policy add-on needs. Resource Manager registers only the
# providers whose resources a template contains.
# https://learn.microsoft.com/azure/aks/use-azure-policy#prerequisites
set -eu
provider=https://management.azure.com/subscriptions/$AZURE_SUBSCRIPTION_ID/providers/Microsoft.PolicyInsights
token=$(azd auth token --scope https://management.azure.com/.default)
# curl reads the header from standard input, because other users of the machine can list its arguments.
printf 'Authorization: Bearer %s\n' "$token" |
  curl --silent --show-error --fail --output /dev/null --request POST --data '' --header @- \
    "$provider/register?api-version=2021-04-01"
