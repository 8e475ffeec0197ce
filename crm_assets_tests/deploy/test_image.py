"""The image of a commit: built once, and found and copied by its digest."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from crm_assets_tests.containers.compose import DOCKER
from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy.command import DeployError
from deploy.image import STAGE, digest_in, main, repository_in, tag_of

GITHUB = "ghcr.io/somebody/crm-assets"
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets"
COMMIT = "0123456789" * 4
DIGEST, OTHER = f"sha256:{'ab' * 32}", f"sha256:{'cd' * 32}"
GIVEN = {"GITHUB_REPOSITORY": "Somebody/crm-assets", "GITHUB_ACTOR": "ci", "GH_TOKEN": "the token", "COMMIT": COMMIT}


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    programs = stand_ins(tmp_path / "programs", monkeypatch, "aws", "docker")
    programs.answer("get-login-password", out="the password")
    return programs


def absent(programs: Programs, repository: str = GITHUB, tag: str = f"git-{COMMIT}") -> None:
    programs.answer("imagetools", "inspect", f"{repository}:{tag}", err=f"ERROR: {repository}:{tag}: not found", code=1)


def test_an_image_is_pushed_with_sbom_and_provenance_and_told_by_digest(programs: Programs, tmp_path: Path) -> None:
    absent(programs)
    programs.answer("build", files={"--metadata-file": json.dumps({"containerimage.digest": DIGEST})})
    assert main(["push"], GIVEN) == 0
    (build,) = [call for call in programs.calls if "build" in call]
    assert {"--sbom=true", "--provenance=mode=max", "--push"} <= set(build)
    assert build[build.index("--tag") + 1] == f"{GITHUB}:git-{COMMIT}"
    assert f"image={GITHUB}@{DIGEST}\n" in (tmp_path / "output").read_text()
    assert f" AS {build[build.index('--target') + 1]}\n" in (DOCKER / "Dockerfile").read_text()


def test_no_password_is_on_a_command_line(programs: Programs) -> None:
    programs.answer("inspect", out=f"{DIGEST}\n")
    assert main(["push"], GIVEN) == 0
    assert main(["push"], {**GIVEN, "REPOSITORY": ECR}) == 0
    assert programs.inputs == ["the token", "the password"]
    assert not [call for call in programs.calls if {"the token", "the password"} & set(call)]


def test_what_was_pushed_is_not_built_again(programs: Programs, tmp_path: Path) -> None:
    programs.answer("inspect", out=f"{DIGEST}\n")
    assert main(["push"], GIVEN) == 0
    assert not [call for call in programs.calls if "build" in call]
    assert f"digest={DIGEST}" in (tmp_path / "output").read_text()


def test_a_commit_without_an_image_is_not_released(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    absent(programs)
    assert main(["find"], GIVEN) == 1
    assert f"has no image of {COMMIT}" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["push", "find"])
def test_a_registry_that_does_not_tell_is_not_taken_for_empty(
    verb: str, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.answer("imagetools", err="ERROR: 403 Forbidden", code=1)
    assert main([verb], GIVEN) == 1
    assert not [call for call in programs.calls if "build" in call]
    assert "403 Forbidden" in capsys.readouterr().err


def test_the_same_bytes_are_brought_to_an_environment(programs: Programs, tmp_path: Path) -> None:
    tag = f"image-{'ab' * 20}"
    # What is there is looked at before and after.
    programs.answer("inspect", out=f"{DIGEST}\n")
    assert main(["copy"], {**GIVEN, "DIGEST": DIGEST, "IMAGE_REPOSITORY": ECR}) == 0
    assert not [call for call in programs.calls if "create" in call]
    assert f"image={ECR}@{DIGEST}\n" in (tmp_path / "output").read_text()
    assert [call for call in programs.calls if f"{ECR}:{tag}" in call]


def test_other_bytes_are_refused(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.answer("inspect", out=f"{OTHER}\n")
    assert main(["copy"], {**GIVEN, "DIGEST": DIGEST, "IMAGE_REPOSITORY": ECR}) == 1
    assert f"is {OTHER}, and not {DIGEST}" in capsys.readouterr().err


def test_what_is_missing_is_copied(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    absent(programs, ECR, f"image-{'ab' * 20}")
    # The copy does nothing here, so it is not there afterwards either.
    assert main(["copy"], {**GIVEN, "DIGEST": DIGEST, "IMAGE_REPOSITORY": ECR}) == 1
    (created,) = [call for call in programs.calls if "create" in call]
    assert created[-1] == f"{GITHUB}@{DIGEST}"
    assert "is None" in capsys.readouterr().err


@pytest.mark.parametrize("digest", ["latest", "sha256:12", f"{DIGEST}\n", ""])
def test_only_a_digest_names_what_is_copied(
    digest: str, programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["copy"], {**GIVEN, "DIGEST": digest, "IMAGE_REPOSITORY": ECR}) == 1
    assert ("is no digest" if digest else "DIGEST is not set") in capsys.readouterr().err


@pytest.mark.parametrize("commit", ["main", "v1.0.0", COMMIT[:12], f"{COMMIT}\n"])
def test_only_a_whole_commit_names_an_image(commit: str) -> None:
    with pytest.raises(DeployError, match="40 digits"):
        tag_of(commit)


@pytest.mark.parametrize("variables", [{}, {"REPOSITORY": "crm-assets"}, {"REPOSITORY": "a/b --push"}])
def test_what_is_no_repository_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(DeployError, match="REPOSITORY is"):
        repository_in(variables)


def test_a_build_without_a_digest_is_refused() -> None:
    with pytest.raises(DeployError, match="no digest"):
        digest_in("{}")


def test_the_image_for_fargate_declares_what_is_written_to() -> None:
    """Without it, Fargate's volumes are root's."""
    stage = (DOCKER / "Dockerfile").read_text().split(f" AS {STAGE}\n")[1].partition("\nFROM ")[0]
    assert json.loads(stage.split("VOLUME ")[1].splitlines()[0]) == [
        "/tmp", "/var/lib/crm/dagster", "/var/lib/crm/api"
    ]  # fmt: skip


def test_the_first_image_is_built_by_hand_as_the_others_are() -> None:
    builds = re.findall(r"docker build (.+)", (DOCKER.parent / "terraform" / "README.md").read_text())
    assert builds
    for line in builds:
        assert {f"--target {STAGE}", "--platform linux/amd64"} <= set(re.findall(r"--\w+ \S+", line))
