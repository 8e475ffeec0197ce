"""The image of a commit in a registry of AWS: `python -m deploy.image push|find`.

An image is named by its digest from then on. Its tag is the commit's, and is never given to another image.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from deploy.command import DeployError, output_of, required, run, tell

BUILDER = "crm-assets"
"""Of BuildKit's own container, for Docker's builder makes neither SBOM nor provenance."""
_REPOSITORY = re.compile(
    r"^(?P<registry>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>[a-z0-9/_.-]+)$"
)
_COMMIT = re.compile(r"^[0-9a-f]{40}$")
_DIGEST = re.compile(r"^sha256:[0-9a-f]{64}$")


def tag_of(commit: str) -> str:
    """The tag of a commit's image. Raises DeployError for what is no commit."""
    if not _COMMIT.match(commit):
        raise DeployError(f"COMMIT is {commit!r}, which is not the 40 digits of a commit: COMMIT=$(git rev-parse HEAD)")
    return f"git-{commit}"


def parts_of(repository: str) -> dict[str, str]:
    """Account, region and name in the address of a repository. Raises DeployError for another kind of address."""
    found = _REPOSITORY.match(repository)
    if not found:
        raise DeployError(
            f"REPOSITORY is {repository!r}, and not as 123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets"
        )
    return found.groupdict()


def digest_in(metadata: str) -> str:
    """The digest in the file that BuildKit writes. Raises DeployError where there is none."""
    digest = json.loads(metadata).get("containerimage.digest", "")
    if not _DIGEST.match(digest):
        raise DeployError(f"BuildKit tells no digest of what it pushed, but {digest!r}")
    return str(digest)


def stored_digest(repository: str, tag: str) -> str | None:
    """The digest of the image with a tag; None where there is none. Raises DeployError when that cannot be told."""
    parts = parts_of(repository)
    command = [
        "aws", "ecr", "batch-get-image", "--registry-id", parts["registry"], "--region", parts["region"],
        "--repository-name", parts["name"], "--image-ids", f"imageTag={tag}", "--output", "json",
        "--accepted-media-types", "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json",
    ]  # fmt: skip
    answered = json.loads(output_of(command))
    if images := answered["images"]:
        return str(images[0]["imageId"]["imageDigest"])
    codes = {failure["failureCode"] for failure in answered["failures"]}
    if codes != {"ImageNotFound"}:
        raise DeployError(f"{repository} does not tell about {tag}: {', '.join(sorted(codes))}")
    return None


def push(repository: str, commit: str) -> str:
    """Build the image of the work tree and push it, unless the commit's is there; its digest. Raises DeployError."""
    tag, parts = tag_of(commit), parts_of(repository)
    host = repository.partition("/")[0]
    password = output_of(["aws", "ecr", "get-login-password", "--region", parts["region"]])
    output_of(["docker", "login", "--username", "AWS", "--password-stdin", host], given=password)
    # A job that is run again finds what it has pushed; tags cannot be moved.
    if known := stored_digest(repository, tag):
        return known
    try:
        output_of(["docker", "buildx", "inspect", BUILDER])
    except DeployError:
        run(["docker", "buildx", "create", "--name", BUILDER, "--driver", "docker-container"])
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder, "metadata.json")
        run([
            "docker", "buildx", "build", "--builder", BUILDER, "--platform", "linux/amd64",
            "--file", "docker/Dockerfile", "--tag", f"{repository}:{tag}",
            "--label", f"org.opencontainers.image.revision={commit}",
            "--sbom=true", "--provenance=mode=max", "--metadata-file", str(metadata), "--push", ".",
        ])  # fmt: skip
        return digest_in(metadata.read_text())


def find(repository: str, commit: str) -> str:
    """The digest of a commit's image. Raises DeployError where none was pushed."""
    digest = stored_digest(repository, tag_of(commit))
    if digest is None:
        raise DeployError(
            f"{repository} has no image of {commit}: commits of main are built, so release one whose build passed"
        )
    return digest


def main(arguments: list[str]) -> int:
    """Push or find, and tell image and digest."""
    verbs = {"push": push, "find": find}
    if len(arguments) != 1 or arguments[0] not in verbs:
        print(f"one of {', '.join(verbs)}", file=sys.stderr)
        return 2
    try:
        repository = required("REPOSITORY", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets")
        digest = verbs[arguments[0]](repository, required("COMMIT", "$(git rev-parse HEAD)"))
        tell(image=f"{repository}@{digest}", digest=digest)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
