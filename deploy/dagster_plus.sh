#!/usr/bin/env bash
# Deploys the code location to Dagster+ as the branch deployment of a pull request, or to prod; CLOSED=true closes the
# branch deployment. DAGSTER_CLOUD_ORGANIZATION and DAGSTER_CLOUD_API_TOKEN say whose; REPOSITORY gets the image.
set -euo pipefail
: "${DAGSTER_CLOUD_ORGANIZATION:?}" "${DAGSTER_CLOUD_API_TOKEN:?}"
cd "$(dirname "$0")/.."
cli=${DAGSTER_CLOUD_CLI:-.venv/bin/dagster-cloud}
if [[ ${CLOSED:-false} == true ]]; then
  "$cli" ci branch-deployment . --mark-closed
  exit 0
fi
: "${REPOSITORY:?such as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets}" "${COMMIT:?of what is deployed}"
python=${PYTHON3:-python3}
# With BuildKit's SBOM and provenance; the image of Dagster+ is that one and Dagster's agent library.
plain=$("$python" -m deploy.image push | sed -n 's/^image=//p')
tag=dagster-plus-$COMMIT
docker build --quiet --pull --build-arg "IMAGE=$plain" --file docker/dagster_plus.Dockerfile --tag "$REPOSITORY:$tag" .
docker push --quiet "$REPOSITORY:$tag"
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export DAGSTER_BUILD_STATEDIR=$folder/state
# The registry of whoever deploys takes the place of the example's.
sed "s#^\( *registry: \).*#\1$REPOSITORY#" dagster_cloud.yaml >"$folder/dagster_cloud.yaml"
"$cli" ci init --project-dir . --dagster-cloud-yaml-path "$folder/dagster_cloud.yaml" --deployment prod
"$cli" ci set-build-output --image-tag "$tag"
"$cli" ci deploy
