#!/bin/sh
# Builds the images for the processor of this machine and pushes them as candidates, such as
# state-api:candidate-1.0.0-amd64. They get the tag of the version after the scan.
set -eu
. tools/publish/settings.sh
architecture=$(docker version --format '{{.Server.Arch}}')
created=$(git log -1 --format=%ct 2>/dev/null || echo 0) # the date of the SBOM
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 # a candidate is one image, not an index
for service in $SERVICES; do
  image=$IMAGES/$service:candidate-$VERSION-$architecture
  docker build --build-arg "SERVICE=$service" --build-arg "REVISION=${GITHUB_SHA:-unknown}" \
    --label "org.opencontainers.image.version=$VERSION" \
    --label "org.opencontainers.image.source=https://github.com/$GITHUB_REPOSITORY" \
    --build-arg "SOURCE_DATE_EPOCH=$created" --tag "$image" .
  docker push "$image"
done
