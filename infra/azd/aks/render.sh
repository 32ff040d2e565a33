#!/bin/sh
# azd hook: sh render.sh SERVICE writes manifests/SERVICE/manifests.yaml, which azd applies. It renders overlays/aks
# with the outputs of the deployment and the image in the azd environment. The result has the objects that the services
# share and those of SERVICE. It has none of the other services, because azd may not have built their images yet.
set -eu
service=$1
variable=SERVICE_$(echo "$service" | tr a-z- A-Z_)_IMAGE_NAME
eval "image=\${$variable:-}"
if [ -z "$image" ]; then
  echo "$variable is not set. azd sets it when it builds the image: run azd deploy $service" >&2
  exit 1
fi

if [ -n "${WELCOME_HOST:-}" ] && [ -z "${WELCOME_SIGN_IN_CLIENT_ID:-}" ]; then
  echo "WELCOME_HOST needs WELCOME_SIGN_IN_CLIENT_ID, because callers from the Internet must sign in. Create the" \
    "application as in infra/kubernetes/features/gateway/README.md, and run" \
    "azd env set WELCOME_SIGN_IN_CLIENT_ID CLIENT-ID. To publish nothing, run azd env set WELCOME_HOST \"\"" >&2
  exit 1
fi

# Without Dapr, `kubectl apply` rejects its objects after it has created the others. Any other error is left to azd: the
# hook runs before azd adds the cluster to the kubeconfig of a computer that has not provisioned it.
found=$(kubectl get crd components.dapr.io --context "$AZURE_AKS_CLUSTER_NAME" --request-timeout 10s 2>&1) || true
case $found in
*NotFound*)
  echo "The cluster has no Dapr. Install it with Helm: docs/deploy/kubernetes.md#install-dapr. Then run azd deploy" >&2
  exit 1
  ;;
esac

# Without its Secret, no pod of the service starts, and azd would wait for the Deployment.
if [ "$service" != welcome ]; then
  found=$(kubectl get secret "$service-token" --namespace dapr-samples --context "$AZURE_AKS_CLUSTER_NAME" \
    --request-timeout 10s 2>&1) || true
  case $found in
  *NotFound*)
    echo "The cluster has no Secret $service-token. Run azd provision, which creates it. Then run azd deploy" >&2
    exit 1
    ;;
  esac
fi

# The image is the one that azd has built, whatever settings.yaml says.
export IMAGES=REGISTRY.azurecr.io TAG="${image##*:}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -R ../../kubernetes "$work"
cd "$work/kubernetes/overlays"

# settings.yaml has the names of the outputs of main.bicep.
awk '/^  [A-Z_]+: / {
  name = substr($1, 1, length($1) - 1)
  if (ENVIRON[name] != "") $0 = "  " name ": \"" ENVIRON[name] "\""
} { print }' aks/settings.yaml >"$work/settings.yaml"
mv "$work/settings.yaml" aks/settings.yaml

others=$(printf '%s\n' state-api group-lister welcome | grep -vx "$service" | paste -sd '|' -)
mkdir azd
{
  cat <<EOF
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [../aks]
images:
  - name: REGISTRY.azurecr.io/$service
    newName: ${image%:*}
patches:
  - target:
      name: $others
    patch: &delete |-
      \$patch: delete
      apiVersion: v1
      kind: ignored
      metadata:
        name: ignored
  - target: # azure.yaml creates it
      kind: Namespace
      name: dapr-samples
    patch: *delete
EOF
  sed -n '/^sortOptions:/,$p' aks/kustomization.yaml
} >azd/kustomization.yaml
kubectl kustomize azd >"$work/manifests.yaml"
cd "$OLDPWD"

if placeholders=$(grep -E 'YOUR-|REGISTRY\.azurecr\.io' "$work/manifests.yaml"); then
  printf 'Run azd provision, which sets the values that these lines lack:\n%s\n' "$placeholders" >&2
  exit 1
fi
mkdir -p "manifests/$service"
mv "$work/manifests.yaml" "manifests/$service/manifests.yaml"

# azd prints this endpoint at the end: the URL of features/gateway, or else the command that opens a tunnel.
if [ "$service" = welcome ]; then
  host=$(sed -n 's/^ *hostname: *//p' manifests/welcome/manifests.yaml | head -n 1)
  endpoint=${host:+https://$host/}
  : "${endpoint:=kubectl port-forward --namespace dapr-samples service/welcome 8080:80}"
  azd env set SERVICE_WELCOME_ENDPOINTS "[\"$endpoint\"]" --environment "$AZURE_ENV_NAME"
fi
