"""The image of a commit, pushed once and found by its digest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from crm_assets_tests.deploy.programs import Programs, stand_ins
from deploy.command import DeployError
from deploy.image import digest_in, main, parts_of, tag_of

REPOSITORY = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/crm-assets"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
DIGEST = f"sha256:{'ab' * 32}"
NONE = json.dumps({"images": [], "failures": [{"failureCode": "ImageNotFound"}]})
STORED = json.dumps({"images": [{"imageId": {"imageDigest": DIGEST}}], "failures": []})


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("REPOSITORY", REPOSITORY)
    monkeypatch.setenv("COMMIT", COMMIT)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    programs = stand_ins(tmp_path / "programs", monkeypatch, "aws", "docker")
    programs.answer("get-login-password", out="the password")
    return programs


def test_an_image_is_pushed_with_sbom_and_provenance_and_told_by_digest(programs: Programs, tmp_path: Path) -> None:
    programs.answer("batch-get-image", out=NONE)
    programs.answer("build", files={"--metadata-file": json.dumps({"containerimage.digest": DIGEST})})
    assert main(["push"]) == 0
    (build,) = [call for call in programs.calls if "build" in call]
    assert {"--sbom=true", "--provenance=mode=max", "--push"} <= set(build)
    assert build[build.index("--tag") + 1] == f"{REPOSITORY}:git-{COMMIT}"
    assert (tmp_path / "output").read_text() == f"image={REPOSITORY}@{DIGEST}\ndigest={DIGEST}\n"


def test_the_password_is_on_no_command_line(programs: Programs) -> None:
    programs.answer("batch-get-image", out=STORED)
    assert main(["push"]) == 0
    assert programs.inputs == ["the password"]
    assert not [call for call in programs.calls if "the password" in call]


def test_what_was_pushed_is_not_built_again(programs: Programs, tmp_path: Path) -> None:
    programs.answer("batch-get-image", out=STORED)
    assert main(["push"]) == 0
    assert not [call for call in programs.calls if "build" in call]
    assert f"digest={DIGEST}" in (tmp_path / "output").read_text()


def test_a_commit_without_an_image_is_not_released(programs: Programs, capsys: pytest.CaptureFixture[str]) -> None:
    programs.answer("batch-get-image", out=NONE)
    assert main(["find"]) == 1
    assert f"has no image of {COMMIT}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "answer", [{"err": "AccessDeniedException", "code": 254}, {"out": NONE.replace("ImageNotFo", "x")}]
)
def test_a_registry_that_does_not_tell_is_not_taken_for_empty(
    answer: dict[str, str], programs: Programs, capsys: pytest.CaptureFixture[str]
) -> None:
    programs.answer("batch-get-image", **answer)  # type: ignore[arg-type]
    assert main(["push"]) == 1
    assert not [call for call in programs.calls if "build" in call]
    assert capsys.readouterr().err


@pytest.mark.parametrize("commit", ["main", "v1.0.0", COMMIT[:12], f"{COMMIT}\n"])
def test_only_a_whole_commit_names_an_image(commit: str) -> None:
    with pytest.raises(DeployError, match="40 digits"):
        tag_of(commit)


def test_another_registry_is_refused() -> None:
    with pytest.raises(DeployError, match="REPOSITORY is"):
        parts_of("docker.io/somebody/crm-assets")


def test_a_build_without_a_digest_is_refused() -> None:
    with pytest.raises(DeployError, match="no digest"):
        digest_in("{}")
