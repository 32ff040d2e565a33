#!/bin/sh
# sh tools/publish/read-sbom.sh IMAGE ARCHITECTURE FILE copies the SBOM out of an image.
set -eu
container=$(docker create --pull always --platform "linux/$2" "$1")
docker cp "$container:/app/sbom.spdx.json" "$3"
docker rm "$container" >/dev/null
