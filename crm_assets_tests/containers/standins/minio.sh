#!/usr/bin/env bash
# minio server FOLDER ...: SeaweedFS on MinIO's port, with the key that MINIO_ROOT_USER and MINIO_ROOT_PASSWORD name.
set -euo pipefail
[[ $1 == server ]]
export AWS_ACCESS_KEY_ID=$MINIO_ROOT_USER AWS_SECRET_ACCESS_KEY=$MINIO_ROOT_PASSWORD
cd /tmp
exec /opt/weed/bin/weed mini -dir="$2" -ip=127.0.0.1 -ip.bind=0.0.0.0 -master.telemetry=false \
  -admin.ui=false -webdav=false -s3.port.iceberg=0 -s3.port.lance=0 -s3.port=9000 -s3.autoCreateBucket=false
