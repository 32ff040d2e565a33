# Builds the image of one program of the suite: docker build --build-arg SERVICE=state-api .
# SERVICE is state-api, group-lister, welcome or hello-wasm; or, for docker-compose.yml, cosmos-check or azure-stand-in.
# An argument selects the program, because a build of azd in the registry passes arguments but no target:
# https://github.com/Azure/azure-dev/pull/7997
# Uses only the syntax of the classic builder, because `az acr build` runs that builder:
# https://github.com/Azure/acr/issues/721

# Docker publishes its official images on Amazon ECR Public, too. Docker Hub counts anonymous pulls by address, and the
# builders of a registry in Azure share addresses with other customers, so they meet its limit. The digest is that of
# the image for all platforms, the same in both registries. To take the base image from your own registry, pass
# --build-arg NODE=… (docs/deploy/containers.md).
# FROM has to name ${NODE} without a default: `az acr build` looks for base images itself, reads ${NODE:-…} as an empty
# name and fails. For the same reason NODE must not be empty.
# https://github.com/Azure/acr-builder/blob/main/baseimages/scanner/scan/dependencies.go
ARG NODE=public.ecr.aws/docker/library/node:26.10.0-bookworm-slim@sha256:662933cf47f013bc8e4beb31a6116448427a82057ba7c42c97e4c5ba766504c2

# Bundles the program into one file, and describes what the image contains: an SBOM and the licences.
FROM ${NODE} AS bundle
WORKDIR /src
COPY package.json package-lock.json LICENSE ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools tools
COPY services services
COPY stand-ins stand-ins
ARG SERVICE
# Time of the sources, for the SBOM: seconds since 1970, such as those of `git log -1 --format=%ct`.
ARG SOURCE_DATE_EPOCH=0
# azure-stand-in writes to volumes on /ca and /data: a new volume takes over the owner of the folder that it is mounted
# on.
RUN node tools/bundle/bundle.ts "$SERVICE" /image/app \
  && node tools/bundle/sbom.ts "$SERVICE" /image/app \
  && if [ "$SERVICE" = azure-stand-in ]; then mkdir /image/ca /image/data && chown 65532:65532 /image/ca /image/data; fi

# Collects Node without its debug information, and the libraries it is linked with. The images get no shell, package
# manager or other program.
FROM ${NODE} AS node
COPY tools/bundle/strip.ts /
RUN mkdir -p /image/etc /image/usr/local/bin \
  && node /strip.ts /usr/local/bin/node /image/usr/local/bin/node \
  && cp -L --parents $(ldd /usr/local/bin/node | grep -o '/[^ ]*') /image \
  && echo 'app:x:65532:65532::/app:/sbin/nologin' >/image/etc/passwd

FROM scratch
COPY --from=node /image /
COPY --from=bundle /image /
ENV PATH=/usr/local/bin NODE_ENV=production HOST=0.0.0.0 PORT=8080 METRICS_PORT=9464
WORKDIR /app
USER 65532:65532
EXPOSE 8080 9464
# Two warnings of Node that the suite knows: a dependency of @dapr/dapr uses its punycode module (Node warns about that
# outside node_modules, as in a bundle), and welcome strips types with a function that is experimental.
# With the trap handler, each WebAssembly instance of hello-wasm reserves 8 GiB of address space.
ENTRYPOINT ["node", "--disable-warning=DEP0040", "--disable-warning=ExperimentalWarning", "--disable-wasm-trap-handler", "/app/main.mjs"]
ARG NODE
ARG SERVICE
ARG REVISION=unknown
LABEL org.opencontainers.image.title="${SERVICE}" \
  org.opencontainers.image.base.name="${NODE}" \
  org.opencontainers.image.revision="${REVISION}"
