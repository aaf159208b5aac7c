# syntax=docker/dockerfile:1
#
# The image: a virtual environment made from requirements.lock, on Debian's Python, run by an
# ordinary user on a root that may be read-only:
#   docker run --read-only --tmpfs /tmp -p 8080:8080 -e IMGPROXY_… <image>
# `make image` checks the style and replays these steps without a container engine.
#
# Bases are pinned by tag: where this file was written no registry could be asked for a digest.
# Before a release pin one, as the base both stages share: --build-arg BASE=…@sha256:…
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
COPY requirements.lock requirements-build.lock ./
# Every file by its digest, wheels only. pyvips alone comes as source, in pure Python: its compiled
# half is part of the pyvips-binary wheel, so no compiler is needed.
RUN python -m venv /opt/imgproxy \
 && /opt/imgproxy/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
      -r requirements-build.lock \
 && /opt/imgproxy/bin/pip install --no-cache-dir --only-binary :all: --require-hashes \
      --no-binary pyvips --no-build-isolation -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY imgproxy ./imgproxy
RUN /opt/imgproxy/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
 && /opt/imgproxy/bin/pip uninstall --yes pip setuptools

FROM ${BASE} AS runtime
# Debian removes superseded versions from its mirrors, so pinning these would break the build.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends fontconfig-config fonts-dejavu-core \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 999 imgproxy \
 && useradd --system --uid 999 --gid 999 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin imgproxy
COPY --from=build /opt/imgproxy /opt/imgproxy
# glibc keeps an arena per thread and returns little of it; two arenas keep libvips' threads from
# growing the process (imgproxy's issues 116 and 1246 show what happens otherwise).
ENV PATH=/opt/imgproxy/bin:$PATH \
    MALLOC_ARENA_MAX=2 \
    PYTHONUNBUFFERED=1 \
    FONTCONFIG_PATH=/etc/fonts \
    XDG_CACHE_HOME=/tmp
LABEL org.opencontainers.image.title="imgproxy-server" \
      org.opencontainers.image.description="An image transformation server: a signed URL in, the right image out." \
      org.opencontainers.image.licenses="Apache-2.0"
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
WORKDIR /tmp
USER 999:999
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["imgproxy", "health"]
ENTRYPOINT ["imgproxy"]
CMD ["serve"]
