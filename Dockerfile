# Builds every image of the suite, one target each: docker build --target state-api .
# Uses only the syntax of the classic builder, because `az acr build` runs that builder: https://github.com/Azure/acr/issues/721
# To take the base image from your own registry or by digest, pass --build-arg NODE=… (docs/deploy/containers.md).
ARG NODE=node:26.10.0-bookworm-slim

# Bundles each program into one file. Only these files leave this stage.
FROM ${NODE} AS bundle
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools tools
COPY services services
COPY stand-ins stand-ins
RUN node tools/bundle/bundle.ts /bundle

# Collects Node and the libraries it is linked with. The images get no shell, package manager or other program.
FROM ${NODE} AS node
RUN mkdir -p /image/app /image/etc \
  && cp -L --parents /usr/local/bin/node $(ldd /usr/local/bin/node | grep -o '/[^ ]*') /image \
  && echo 'app:x:65532:65532::/app:/sbin/nologin' >/image/etc/passwd

FROM scratch AS service
COPY --from=node /image /
ENV PATH=/usr/local/bin NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ARG NODE
ARG REVISION=unknown
LABEL org.opencontainers.image.base.name="docker.io/library/${NODE}" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.revision="${REVISION}"

FROM service AS state-api
LABEL org.opencontainers.image.title="state-api" \
  org.opencontainers.image.description="Reads and writes JSON values through Dapr's state API"
COPY --from=bundle /bundle/state-api.* ./
# A dependency of @dapr/dapr uses Node's punycode module. Node warns about that outside node_modules, as in a bundle.
ENTRYPOINT ["node", "--disable-warning=DEP0040", "/app/state-api.mjs"]

FROM service AS group-lister
LABEL org.opencontainers.image.title="group-lister" \
  org.opencontainers.image.description="Lists the resource groups of an Azure subscription"
COPY --from=bundle /bundle/group-lister.* ./
ENTRYPOINT ["node", "/app/group-lister.mjs"]

FROM service AS welcome
LABEL org.opencontainers.image.title="welcome" \
  org.opencontainers.image.description="Serves a greeting and a page that calls the other services through their Dapr sidecars"
COPY --from=bundle /src/services/welcome/page page
COPY --from=bundle /bundle/welcome.* ./
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "/app/welcome.mjs"]

# For docker-compose.yml only, not for deployment: prepares the Cosmos DB emulator, and stands in for Azure.
FROM service AS cosmos-check
LABEL org.opencontainers.image.title="cosmos-check"
COPY --from=bundle /bundle/cosmos-check.* ./
ENTRYPOINT ["node", "/app/cosmos-check.mjs"]

FROM service AS azure-stand-in
LABEL org.opencontainers.image.title="azure-stand-in"
# A new volume takes over the owner of the folder that it is mounted on.
COPY --from=node --chown=65532:65532 /image/app /data
COPY --from=bundle /bundle/azure-stand-in.* ./
ENTRYPOINT ["node", "/app/azure-stand-in.mjs"]
