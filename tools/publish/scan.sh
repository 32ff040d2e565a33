#!/bin/sh
# Searches every candidate, and its SBOM, for known vulnerabilities. Fails when one of them has a fix.
# The image shows Grype Node's program; only the SBOM names the npm packages in the bundle and the Debian packages.
set -eu
. tools/publish/settings.sh
sbom=$(mktemp -d)/sbom.spdx.json
vulnerable=
for service in $SERVICES; do
  for architecture in $ARCHITECTURES; do
    image=$IMAGES/$service:candidate-$VERSION-$architecture
    sh tools/publish/read-sbom.sh "$image" "$architecture" "$sbom"
    for source in "registry:$image" "sbom:$sbom"; do
      echo "$image, $source"
      grype "$source" --only-fixed --fail-on negligible || vulnerable="$vulnerable $image"
    done
  done
done
if [ -n "$vulnerable" ]; then
  echo "The tables above name vulnerabilities with a fix in:$vulnerable. Update what they name and push a new tag." >&2
  exit 1
fi
