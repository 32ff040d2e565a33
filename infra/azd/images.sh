#!/bin/sh
# A hook of azd: has the registry build the images, once for each commit, and tells azd their tag. Needs az, signed in.
set -eu
if [ -z "${AZURE_CONTAINER_REGISTRY_ENDPOINT:-}" ]; then
  exit 0 # the registry is not there before the first `azd provision`
fi
registry=${AZURE_CONTAINER_REGISTRY_ENDPOINT%%.*}
root=$(git rev-parse --show-toplevel)
tag=g$(git rev-parse --short=12 HEAD) # a letter in front, because it names revisions, too
for service in state-api group-lister welcome; do
  if ! az acr repository show --name "$registry" --image "$service:$tag" >/dev/null 2>&1; then
    az acr build --registry "$registry" --target "$service" --image "$service:$tag" "$root"
  fi
done
azd env set TAG "$tag" --environment "$AZURE_ENV_NAME"
