# Every image of the suite, one target each: docker build --target state-api .
# No more than the classic builder understands, because that is what `az acr build` runs: https://github.com/Azure/acr/issues/721
# A registry of your own, or a digest (docs/deploy/containers.md): --build-arg NODE=…
ARG NODE=node:26.10.0-bookworm-slim

# Each program as one file. Nothing of this stage but those files reaches an image.
FROM ${NODE} AS bundle
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tools tools
COPY services services
COPY stand-ins stand-ins
COPY test/simulators test/simulators
RUN node tools/bundle/bundle.ts /bundle

# Node and the libraries that it is linked with, and no shell, package manager or other program beside it.
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
# What @dapr/dapr depends on uses Node's punycode; among packages, Node would not mention it.
ENTRYPOINT ["node", "--disable-warning=DEP0040", "/app/state-api.mjs"]

FROM service AS group-lister
LABEL org.opencontainers.image.title="group-lister" \
  org.opencontainers.image.description="Lists the resource groups of an Azure subscription"
COPY --from=bundle /bundle/group-lister.* ./
ENTRYPOINT ["node", "/app/group-lister.mjs"]

FROM service AS welcome
LABEL org.opencontainers.image.title="welcome" \
  org.opencontainers.image.description="A text, and a page that uses the other services through their Dapr sidecars"
COPY --from=bundle /src/services/welcome/page page
COPY --from=bundle /bundle/welcome.* ./
ENTRYPOINT ["node", "--disable-warning=ExperimentalWarning", "/app/welcome.mjs"]

# What docker-compose.yml runs in the place of Azure, and what prepares Cosmos DB there. Not for deployment.
FROM service AS cosmos-check
LABEL org.opencontainers.image.title="cosmos-check"
COPY --from=bundle /bundle/cosmos-check.* ./
ENTRYPOINT ["node", "/app/cosmos-check.mjs"]

FROM service AS cosmos-stand-in
LABEL org.opencontainers.image.title="cosmos-stand-in"
COPY --from=bundle /bundle/cosmos-stand-in.* ./
ENTRYPOINT ["node", "/app/cosmos-stand-in.mjs"]

FROM service AS azure-stand-in
LABEL org.opencontainers.image.title="azure-stand-in"
# A volume takes on the owner of the folder that it is mounted over.
COPY --from=node --chown=65532:65532 /image/app /data
COPY --from=bundle /bundle/azure-stand-in.* ./
ENTRYPOINT ["node", "/app/azure-stand-in.mjs"]
