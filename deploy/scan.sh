#!/usr/bin/env bash
# Looks for known vulnerabilities in IMAGE with Trivy, in a container. Fails for what is serious and has a fix; .trivyignore
# beside this file says what is not and why. Needs Docker, and the internet for Trivy's image and its list.
set -euo pipefail
: "${IMAGE:?such as crm-assets:0.1.0, or an address with its digest}"
here=$(cd "$(dirname "$0")" && pwd)
trivy=aquasec/trivy:0.72.0@sha256:cffe3f5161a47a6823fbd23d985795b3ed72a4c806da4c4df16266c02accdd6f
file=$(mktemp -d)
trap 'rm -rf "$file"' EXIT
docker image inspect "$IMAGE" >/dev/null 2>&1 || docker pull --quiet --platform linux/amd64 "$IMAGE"
# As a file, so that the container is handed no engine, which would be root's rights on this machine.
docker save --output "$file/image.tar" "$IMAGE"
chmod 755 "$file"
chmod 644 "$file/image.tar"
docker run --rm --read-only --tmpfs /tmp:size=4g --cap-drop ALL --security-opt no-new-privileges \
  --volume "$file:/image:ro" --volume "$here/.trivyignore:/ignored:ro" --env TRIVY_CACHE_DIR=/tmp/trivy \
  "$trivy" image --input /image/image.tar --scanners vuln,secret --severity HIGH,CRITICAL --ignore-unfixed \
  --ignorefile /ignored --exit-code 1 --no-progress
