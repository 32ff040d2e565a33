#!/bin/sh
# azd hook: copies infra/kubernetes, replaces the placeholders of overlays/aks with the outputs of the deployment, and
# applies the overlay. Needs az, kubectl and kubelogin.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R "$(git rev-parse --show-toplevel)/infra/kubernetes" "$work"
overlay=$work/kubernetes/overlays/aks

for name in AZURE_TENANT_ID GROUP_LISTER_CLIENT_ID STATE_API_CLIENT_ID WELCOME_CLIENT_ID COSMOS_URL AZURE_KEY_VAULT_NAME \
  KEY_VAULT_ADDON_CLIENT_ID; do
  eval "value=\$$name"
  echo "s|^  $name: .*|  $name: $value|"
done >"$work/values.sed"
echo "s|REGISTRY\.azurecr\.io/|$AZURE_CONTAINER_REGISTRY_ENDPOINT/|; s|newTag: .*|newTag: $TAG|" >"$work/images.sed"
sed -f "$work/values.sed" "$overlay/settings.yaml" >"$work/filled" && mv "$work/filled" "$overlay/settings.yaml"
sed -f "$work/images.sed" "$overlay/kustomization.yaml" >"$work/filled" && mv "$work/filled" "$overlay/kustomization.yaml"

export KUBECONFIG="$work/kubeconfig"
az aks get-credentials --resource-group "$AZURE_RESOURCE_GROUP" --name "$AZURE_AKS_CLUSTER_NAME" --file "$KUBECONFIG"
kubelogin convert-kubeconfig -l azurecli
kubectl apply -k "$overlay"
kubectl wait deployment --all -n dapr-samples --for=condition=Available --timeout=600s
