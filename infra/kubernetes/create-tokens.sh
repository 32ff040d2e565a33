#!/bin/sh
# Creates the Secrets with the tokens that the sidecars of state-api and group-lister send to their service. Existing
# tokens stay. Arguments go to kubectl, such as --context NAME.
#
# No manifest contains these Secrets: a token in a file would end up in a repository, and `kubectl apply` would copy it
# into an annotation. It is no argument of a program either: other users of the machine can list those.
set -eu
here=$(dirname "$0")
kubectl get namespace dapr-samples "$@" >/dev/null 2>&1 || kubectl apply --filename "$here/base/namespace/namespace.yaml" "$@"
for name in state-api-token group-lister-token; do
  found=$(kubectl get secret "$name" --namespace dapr-samples --ignore-not-found --output name "$@")
  if [ -n "$found" ]; then
    echo "$found exists"
  else
    head -c 32 /dev/urandom | od -A n -t x1 | tr -d ' \n' |
      kubectl create secret generic "$name" --namespace dapr-samples --from-file token=/dev/stdin "$@"
  fi
done
