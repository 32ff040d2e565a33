#!/bin/sh
# sh tools/release/tag.sh NAME DIGEST gives the version as a tag to an index, which anybody can then pull by it.
set -eu
. tools/release/settings.sh
oras tag "$1@$2" "$VERSION"
