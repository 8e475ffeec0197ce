# MinIO as a user without rights: its own image runs as root, because a volume on its /data would belong to root.
#
# Docker Hub has had no MinIO image since September 2026; Quay keeps the last ones, of September 2025.
ARG MINIO_IMAGE=quay.io/minio/minio:RELEASE.2025-09-07T16-13-09Z
# hadolint ignore=DL3006
FROM ${MINIO_IMAGE}
# A volume that is mounted here for the first time takes this folder's owner.
RUN mkdir /objects && chown 10001:10001 /objects && chmod 700 /objects
USER 10001:10001
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["mc", "ready", "local"]
CMD ["server", "/objects", "--console-address", ":9001"]
