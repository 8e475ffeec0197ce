#!/usr/bin/env bash
# Makes the stand-ins for the base images from Debian's packages and PyPI, for a Docker engine without a registry of
# images. BASE_TAR names the file that Debian's tree is kept in between runs. Needs perl, and mmdebstrap on the path.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
base=${BASE_TAR:?a file such as /var/tmp/bookworm.tar}
export DOCKER_BUILDKIT=0
if [[ ! -s $base ]]; then
  perl "$(command -v mmdebstrap)" --quiet --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
    bookworm "$base.part.tar"
  mv "$base.part.tar" "$base"
fi
context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$here"/* "$context"
ln "$base" "$context/base.tar" 2>/dev/null || cp "$base" "$context/base.tar"
cp /etc/ssl/certs/ca-certificates.crt "$context/certificates.crt"
docker build --quiet --tag crm-standin/python --file "$context/python.Dockerfile" "$context"
rm "$context/base.tar"
for name in postgres minio; do
  docker build --quiet --build-arg BASE_IMAGE=crm-standin/python --tag "crm-standin/$name" \
    --file "$context/$name.Dockerfile" "$context"
done
