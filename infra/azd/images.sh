#!/bin/sh
# azd hook: builds the images in the registry, once for each commit, and sets their tag as TAG in the azd environment.
# Needs az, signed in.
set -eu
if [ -z "${AZURE_CONTAINER_REGISTRY_ENDPOINT:-}" ]; then
  exit 0 # the first `azd provision` has not created the registry yet
fi
registry=${AZURE_CONTAINER_REGISTRY_ENDPOINT%%.*}
root=$(git rev-parse --show-toplevel)
tag=g$(git rev-parse --short=12 HEAD) # starts with a letter because revision suffixes use it
for service in state-api group-lister welcome; do
  if ! az acr repository show --name "$registry" --image "$service:$tag" >/dev/null 2>&1; then
    az acr build --registry "$registry" --build-arg SERVICE="$service" --image "$service:$tag" "$root"
  fi
done
azd env set TAG "$tag" --environment "$AZURE_ENV_NAME"
