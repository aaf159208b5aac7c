# syntax=docker/dockerfile:1
#
# The edge: Debian's nginx with Lua, run by an ordinary user. The configuration is mounted, as
# `imgproxy nginx` writes it (nginx/ is an example); results and purges are kept in the volume.
#   docker run --read-only -v ./nginx:/etc/imgproxy-edge:ro -v edge:/var/cache/imgproxy-edge -p 80:8080 <image>
ARG BASE=debian:bookworm-slim

FROM ${BASE}
# Debian removes superseded versions from its mirrors, so pinning these would break the build.
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install --yes --no-install-recommends nginx-light libnginx-mod-http-lua lua-resty-core \
 && rm -rf /var/lib/apt/lists/* \
 && mkdir --parents /var/cache/imgproxy-edge \
 && chown 33:33 /var/cache/imgproxy-edge
LABEL org.opencontainers.image.title="imgproxy-edge" \
      org.opencontainers.image.description="nginx before imgproxy nodes." \
      org.opencontainers.image.licenses="Apache-2.0"
# www-data
USER 33:33
EXPOSE 8080 8090
VOLUME /var/cache/imgproxy-edge
# QUIT lets requests in flight end, TERM does not.
STOPSIGNAL SIGQUIT
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8080 && printf 'GET /edge-health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q '^ok' <&3"]
ENTRYPOINT ["nginx", "-p", "/etc/imgproxy-edge/", "-c", "/etc/imgproxy-edge/nginx.conf", "-g", "daemon off;"]
