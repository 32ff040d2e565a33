#!/bin/sh
# sh tools/publish/notes.sh TAG prints the notes of a release: the section of its version in CHANGELOG.md.
# Fails when package.json has another version than the tag, or CHANGELOG.md no section of it.
set -eu
. tools/publish/settings.sh
tag=$1
if [ "$tag" != "v$VERSION" ]; then
  echo "The tag $tag is not that of the version in package.json. Push the tag v$VERSION, or change the version." >&2
  exit 1
fi
notes=$(awk -v version="$VERSION" '/^## / { inside = $2 == version; next } inside' CHANGELOG.md)
if [ -z "$(echo "$notes" | tr -d '[:space:]')" ]; then
  echo "CHANGELOG.md has no section '## $VERSION' with text. Write it, then push the tag again." >&2
  exit 1
fi
# Links to files of the repository lead to the tag.
echo "$notes" | sed "s|](\([^):#][^):]*\))|](https://github.com/$GITHUB_REPOSITORY/blob/$tag/\1)|g"
