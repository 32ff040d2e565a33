#!/bin/sh
# sh tools/publish/index.sh SERVICE joins the candidates of all processors in an index, and writes their SBOMs to
# sbom-ARCHITECTURE.spdx.json. Prints outputs of a workflow's step: name, then digests of the index and of each image.
set -eu
. tools/publish/settings.sh
name=$IMAGES/$1
candidate=candidate-$VERSION
oras manifest index create "$name:$candidate" $(printf "$candidate-%s " $ARCHITECTURES) >&2
echo "name=$name"
echo "index=$(oras resolve "$name:$candidate")"
for architecture in $ARCHITECTURES; do
  digest=$(oras resolve "$name:$candidate-$architecture")
  sh tools/publish/read-sbom.sh "$name@$digest" "$architecture" "sbom-$architecture.spdx.json" >&2
  echo "$architecture=$digest"
done
