# Settings that the other scripts of this folder share. They run in the root of the repository. IMAGES defaults to the
# registry of GitHub, with the owner and the name of the repository that runs .github/workflows/publish.yml. To try the
# scripts with another registry, set IMAGES, ARCHITECTURES and GITHUB_REPOSITORY.
: "${ARCHITECTURES:=amd64 arm64}"
: "${IMAGES:=ghcr.io/$(echo "$GITHUB_REPOSITORY" | tr '[:upper:]' '[:lower:]')}"
SERVICES='state-api group-lister welcome hello-wasm azure-stand-in cosmos-check'
VERSION=$(sed -n 's/^  "version": "\(.*\)",$/\1/p' package.json)
