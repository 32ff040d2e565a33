#!/bin/sh
# Prints each image with its tag and digest, as a list for the notes of the release.
set -eu
. tools/publish/settings.sh
printf '\n### Images\n\n'
for service in $SERVICES; do
  echo "- \`$IMAGES/$service:$VERSION@$(oras resolve "$IMAGES/$service:$VERSION")\`"
done
