"""An image brought to an environment by Terraform, and what ran before put back: `python -m deploy.release VERB`.

`plan` keeps the plan in the environment's folder, `apply` does exactly that plan and notes what ran before, `rollback`
applies what is noted. ENVIRONMENT, IMAGE and TERRAFORM_STATE_BUCKET are read from the environment.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deploy.command import REPORTS, DeployError, output_of, required, run, summarise
from deploy.plan_table import refused, table

ENVIRONMENTS = ("dev", "staging", "prod")
PLAN = "release.tfplan"
_IMAGE = re.compile(r"^[a-z0-9][a-z0-9./_-]*@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class Target:
    """One environment.

    Attributes:
        environment: its name.
        folder: of its Terraform.
        bucket: where its state is.
    """

    environment: str
    folder: Path
    bucket: str

    @classmethod
    def named(cls, variables: Mapping[str, str], root: Path) -> Target:
        """The environment that ENVIRONMENT names. Raises DeployError for one that is none."""
        environment = required("ENVIRONMENT", "staging", variables)
        if environment not in ENVIRONMENTS:
            raise DeployError(f"ENVIRONMENT is {environment!r}, and not one of {', '.join(ENVIRONMENTS)}")
        bucket = required("TERRAFORM_STATE_BUCKET", "the bucket that terraform/bootstrap made", variables)
        return cls(environment, root / "terraform" / "environments" / environment, bucket)

    @property
    def note(self) -> Path:
        """Where `apply` notes what ran before."""
        return REPORTS / f"before-{self.environment}.json"

    @property
    def report(self) -> Path:
        """Where `plan` writes its table."""
        return REPORTS / f"plan-{self.environment}.md"

    def terraform(self, verb: str, *arguments: str) -> list[str]:
        """A command of Terraform in the environment's folder."""
        return ["terraform", f"-chdir={self.folder}", verb, *arguments]

    def initialise(self) -> None:
        """Fetch modules and providers as they are locked, and find the state."""
        run(self.terraform("init", "-input=false", "-lockfile=readonly", f"-backend-config=bucket={self.bucket}"))

    def running_image(self) -> str:
        """The image the state has; empty before the first deployment."""
        outputs = json.loads(output_of(self.terraform("output", "-json")))
        return str(outputs.get("image", {}).get("value") or "")


def checked_image(image: str) -> str:
    """An image that is named by its digest. Raises DeployError for any other."""
    if not _IMAGE.match(image):
        raise DeployError(f"IMAGE is {image!r}, and not repository@sha256:digest: a tag may be another image tomorrow")
    return image


def plan(target: Target, variables: Mapping[str, str]) -> None:
    """Plan an image, or what runs already where IMAGE is not set, and tell what would change. Raises DeployError."""
    target.initialise()
    given = variables.get("IMAGE", "")
    image = checked_image(given) if given else target.running_image()
    # Who may only read cannot take the lock; nothing of such a plan is applied.
    lock = "-lock-timeout=10m" if given else "-lock=false"
    arguments = ["-input=false", lock, f"-out={PLAN}", *([f"-var=image={image}"] if image else [])]
    run(target.terraform("plan", *arguments))
    shown = json.loads(output_of(target.terraform("show", "-json", PLAN)))
    REPORTS.mkdir(exist_ok=True)
    text = table(target.environment, shown)
    target.report.write_text(text)
    summarise(text)
    if given and (lost := refused(shown)) and variables.get("ALLOW_LOSS") != "yes":
        raise DeployError(
            f"{', '.join(lost)} would lose what is in there. If that is meant, apply it by hand with ALLOW_LOSS=yes"
        )


def apply(target: Target, variables: Mapping[str, str]) -> None:
    """Do what was planned, and note what ran before. Raises DeployError."""
    if not (target.folder / PLAN).exists():
        raise DeployError("there is no plan: make deploy-plan first")
    REPORTS.mkdir(exist_ok=True)
    target.note.write_text(json.dumps({"image": target.running_image()}))
    run(target.terraform("apply", "-input=false", "-lock-timeout=10m", PLAN))
    summarise(f"{target.environment} has {variables.get('IMAGE', '')}")


def rollback(target: Target, variables: Mapping[str, str]) -> None:
    """Apply the image that ran before. Raises DeployError where none did, or that fails as well."""
    if not target.note.exists():
        raise DeployError("nothing is noted of what ran before: deploy an earlier image by hand (docs/release.md)")
    image = json.loads(target.note.read_text())["image"]
    if not image:
        raise DeployError("nothing ran before: there is nothing to go back to")
    arguments = ["-input=false", "-auto-approve", "-lock-timeout=10m", f"-var=image={checked_image(image)}"]
    run(target.terraform("apply", *arguments))
    summarise(f"{target.environment} is back at {image}")


VERBS: Mapping[str, Callable[[Target, Mapping[str, str]], None]] = {"plan": plan, "apply": apply, "rollback": rollback}


def main(arguments: list[str], variables: Mapping[str, str] | None = None, root: Path | None = None) -> int:
    """Do one verb; 1 and the reason on standard error where it cannot be done."""
    if len(arguments) != 1 or arguments[0] not in VERBS:
        print(f"one of {', '.join(VERBS)}", file=sys.stderr)
        return 2
    given = os.environ if variables is None else variables
    try:
        VERBS[arguments[0]](Target.named(given, root or Path()), given)
    except DeployError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
