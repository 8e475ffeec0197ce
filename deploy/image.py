"""The image of a commit in a registry: `python -m deploy.image push|find|copy`.

It is built once, and named by its digest from then on: `copy` brings the same bytes to the registry of an environment.
Tags are made once and never moved.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.command import DeployError, output_of, required, run, tell

BUILDER = "crm-assets"
"""Of BuildKit's own container, for Docker's builder makes neither SBOM nor provenance."""
STAGE = "fargate"
_ECR = re.compile(r"\d{12}\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/[a-z0-9/_.-]+")
_GITHUB = "ghcr.io"
_REPOSITORY = re.compile(r"[a-z0-9.-]+(:\d+)?(/[a-z0-9_.-]+)+")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ABSENT = re.compile(r"not found|manifest unknown|name unknown", re.IGNORECASE)


def tag_of(commit: str) -> str:
    """The tag of a commit's image. Raises DeployError for what is no commit."""
    if not _COMMIT.fullmatch(commit):
        raise DeployError(f"COMMIT is {commit!r}, which is not the 40 digits of a commit: COMMIT=$(git rev-parse HEAD)")
    return f"git-{commit}"


def checked_digest(digest: str) -> str:
    """A digest as registries write it. Raises DeployError for anything else, a tag above all."""
    if not _DIGEST.fullmatch(digest):
        raise DeployError(f"{digest!r} is no digest, sha256: and 64 digits: a tag may be another image tomorrow")
    return digest


def repository_in(variables: Mapping[str, str]) -> str:
    """REPOSITORY, or else that of GitHub's registry beside the code. Raises DeployError where neither is told."""
    beside = variables.get("GITHUB_REPOSITORY", "").lower()
    given = variables.get("REPOSITORY") or (f"{_GITHUB}/{beside}" if beside else "")
    return _checked_repository(given, "REPOSITORY")


def _checked_repository(address: str, name: str) -> str:
    if not _REPOSITORY.fullmatch(address):
        raise DeployError(f"{name} is {address!r}, and no address of a repository, such as {_GITHUB}/owner/crm-assets")
    return address


def log_in(repository: str, variables: Mapping[str, str]) -> None:
    """Log in to a repository's registry: AWS's with its command line, GitHub's with GH_TOKEN. Raises DeployError."""
    host = repository.partition("/")[0]
    if found := _ECR.fullmatch(repository):
        user, password = "AWS", output_of(["aws", "ecr", "get-login-password", "--region", found["region"]])
    elif host == _GITHUB and variables.get("GH_TOKEN"):
        user, password = variables.get("GITHUB_ACTOR") or "token", variables["GH_TOKEN"]
    else:
        # Whoever asks has logged in before.
        return
    output_of(["docker", "login", "--username", user, "--password-stdin", host], given=password)


def digest_in(metadata: str) -> str:
    """The digest in the file that BuildKit writes. Raises DeployError where there is none."""
    digest = json.loads(metadata).get("containerimage.digest", "")
    if not _DIGEST.fullmatch(digest):
        raise DeployError(f"BuildKit tells no digest of what it pushed, but {digest!r}")
    return str(digest)


def stored_digest(repository: str, tag: str) -> str | None:
    """The digest of the image with a tag; None where there is none. Raises DeployError when that cannot be told."""
    try:
        told = output_of(
            ["docker", "buildx", "imagetools", "inspect", f"{repository}:{tag}", "--format", "{{.Manifest.Digest}}"]
        )
    except DeployError as error:
        if _ABSENT.search(str(error)):
            return None
        raise
    return checked_digest(told.strip())


def push(variables: Mapping[str, str]) -> tuple[str, str]:
    """Build the work tree's image and push it as COMMIT's, unless that is there; where it is. Raises DeployError."""
    repository, tag = repository_in(variables), tag_of(required("COMMIT", "$(git rev-parse HEAD)", variables))
    log_in(repository, variables)
    # A job that is run again finds what it has pushed.
    if known := stored_digest(repository, tag):
        return repository, known
    try:
        output_of(["docker", "buildx", "inspect", BUILDER])
    except DeployError:
        run(["docker", "buildx", "create", "--name", BUILDER, "--driver", "docker-container"])
    with tempfile.TemporaryDirectory() as folder:
        metadata = Path(folder, "metadata.json")
        run([
            "docker", "buildx", "build", "--builder", BUILDER, "--platform", "linux/amd64",
            "--file", "docker/Dockerfile", "--target", STAGE, "--tag", f"{repository}:{tag}",
            "--label", f"org.opencontainers.image.revision={variables['COMMIT']}",
            "--sbom=true", "--provenance=mode=max", "--metadata-file", str(metadata), "--push", ".",
        ])  # fmt: skip
        return repository, digest_in(metadata.read_text())


def find(variables: Mapping[str, str]) -> tuple[str, str]:
    """Where COMMIT's image is. Raises DeployError where none was pushed."""
    repository, commit = repository_in(variables), required("COMMIT", "$(git rev-parse HEAD)", variables)
    log_in(repository, variables)
    digest = stored_digest(repository, tag_of(commit))
    if digest is None:
        raise DeployError(
            f"{repository} has no image of {commit}: commits of main are built, so release one whose build passed"
        )
    return repository, digest


def copy(variables: Mapping[str, str]) -> tuple[str, str]:
    """Bring DIGEST from REPOSITORY to the repository IMAGE_REPOSITORY; where it is. Raises DeployError."""
    source = repository_in(variables)
    to = _checked_repository(variables.get("IMAGE_REPOSITORY", ""), "IMAGE_REPOSITORY")
    digest = checked_digest(required("DIGEST", "sha256:...", variables))
    tag = f"image-{digest.removeprefix('sha256:')[:40]}"
    log_in(source, variables)
    log_in(to, variables)
    if stored_digest(to, tag) is None:
        run(["docker", "buildx", "imagetools", "create", "--tag", f"{to}:{tag}", f"{source}@{digest}"])
    if (stored := stored_digest(to, tag)) != digest:
        raise DeployError(f"{to}:{tag} is {stored}, and not {digest}")
    return to, digest


VERBS: Mapping[str, Callable[[Mapping[str, str]], tuple[str, str]]] = {"push": push, "find": find, "copy": copy}


def main(arguments: list[str], variables: Mapping[str, str] | None = None) -> int:
    """Do one verb, and tell image, repository and digest."""
    if len(arguments) != 1 or arguments[0] not in VERBS:
        print(f"one of {', '.join(VERBS)}", file=sys.stderr)
        return 2
    try:
        repository, digest = VERBS[arguments[0]](os.environ if variables is None else variables)
        tell(image=f"{repository}@{digest}", repository=repository, digest=digest)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
