#!/bin/sh
# sh tools/publish/tag.sh NAME DIGEST gives the version as a tag to an index, which anybody can then pull by it.
set -eu
. tools/publish/settings.sh
oras tag "$1@$2" "$VERSION"
