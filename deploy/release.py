"""An image brought to an environment by Terraform, and what ran before put back: `python -m deploy.release VERB`.

`plan` keeps the plan in the environment's folder, `apply` does exactly that plan and notes what ran before, `rollback`
applies what is noted. ENVIRONMENT and DIGEST say what and where; TERRAFORM_STATE_BUCKET, AWS_REGION and
TERRAFORM_STATE_KEY where the state is, unless the folder has a backend.hcl; TERRAFORM_VARIABLES is the text of a
terraform.tfvars, for a job that has no such file, and TERRAFORM_SECRET_VARIABLES what of it is a secret.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.api_release import ApiRelease, CodeDeploy
from deploy.command import REPORTS, DeployError, aws, output_of, required, run, summarise
from deploy.image import checked_digest
from deploy.plan_table import by_people, refused, table, unguarded

ENVIRONMENTS = ("dev", "staging", "prod")
PLAN = "release.tfplan"
VARIABLES = "job.auto.tfvars"
MASKED_VARIABLES = "job_secrets.auto.tfvars"
SERVICE = "code"
"""The service whose image is what runs: it is changed with every release, and by ECS alone."""


APPLY_SECONDS = 1800
"""After which Terraform is told to end: it writes the state and takes its lock away, unlike a job that is cut off."""


@dataclass(frozen=True)
class Target:
    """One environment.

    Attributes:
        environment: its name.
        folder: of its Terraform.
        backend: what `terraform init` is told of where the state is.
    """

    environment: str
    folder: Path
    backend: tuple[str, ...]

    @classmethod
    def named(cls, variables: Mapping[str, str], root: Path) -> Target:
        """The environment that ENVIRONMENT names. Raises DeployError for one that is none."""
        environment = required("ENVIRONMENT", "staging", variables)
        if environment not in ENVIRONMENTS:
            raise DeployError(f"ENVIRONMENT is {environment!r}, and not one of {', '.join(ENVIRONMENTS)}")
        folder = root / "terraform" / "environments" / environment
        if not variables.get("TERRAFORM_STATE_BUCKET") and (folder / "backend.hcl").exists():
            return cls(environment, folder, ("-backend-config=backend.hcl",))
        bucket = required("TERRAFORM_STATE_BUCKET", "the bucket that terraform/bootstrap made", variables)
        backend = [f"bucket={bucket}", f"region={required('AWS_REGION', 'eu-central-1', variables)}"]
        if key := variables.get("TERRAFORM_STATE_KEY"):
            backend.append(f"kms_key_id={key}")
        return cls(environment, folder, tuple(f"-backend-config={each}" for each in backend))

    @property
    def name(self) -> str:
        """What every name of the environment begins with, and its cluster's."""
        return f"crm-assets-{self.environment}"

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

    def initialise(self, variables: Mapping[str, str]) -> None:
        """Fetch modules and providers, as they are locked if they are, and find the state. Raises DeployError."""
        for file, name in ((VARIABLES, "TERRAFORM_VARIABLES"), (MASKED_VARIABLES, "TERRAFORM_SECRET_VARIABLES")):
            if text := variables.get(name):
                (self.folder / file).write_text(text)
        locked = ["-lockfile=readonly"] if (self.folder / ".terraform.lock.hcl").exists() else []
        run(self.terraform("init", "-input=false", *locked, *self.backend))

    def outputs(self) -> dict[str, Any]:
        """Terraform's outputs, by their names; none before the first deployment."""
        told = json.loads(output_of(self.terraform("output", "-json")))
        return {name: output["value"] for name, output in told.items()}

    def running_digest(self) -> str:
        """Digest of the image that runs, as ECS tells; empty where nothing does. Raises DeployError."""
        try:
            told = aws("ecs", "describe-services", "--cluster", self.name, "--services", f"{self.name}-{SERVICE}")
        except DeployError as error:
            if "ClusterNotFoundException" in str(error):
                return ""
            raise
        active = [service for service in told["services"] if service["status"] == "ACTIVE"]
        return digest_of(active[0]["taskDefinition"]) if active else ""


def digest_of(task_definition: str) -> str:
    """Digest of the image in a version of a task definition. Raises DeployError where it has a tag instead."""
    told = aws("ecs", "describe-task-definition", "--task-definition", task_definition)
    (container,) = told["taskDefinition"]["containerDefinitions"]
    return checked_digest(str(container["image"]).partition("@")[2])


def plan(target: Target, variables: Mapping[str, str]) -> None:
    """Plan an image, or what runs already where DIGEST is not set, and tell what would change. Raises DeployError."""
    given = variables.get("DIGEST", "")
    digest = checked_digest(given) if given else target.running_digest()
    target.initialise(variables)
    # Who may only read cannot take the lock; nothing of such a plan is applied.
    lock = "-lock-timeout=10m" if given else "-lock=false"
    run(target.terraform("plan", "-input=false", lock, f"-out={PLAN}", *_image(digest)))
    shown = json.loads(output_of(target.terraform("show", "-json", PLAN)))
    REPORTS.mkdir(exist_ok=True)
    text = table(target.environment, shown)
    target.report.write_text(text)
    summarise(text)
    if not given or variables.get("BY_HAND") == "yes":
        return
    if lost := refused(shown):
        raise DeployError(
            f"{', '.join(lost)} would lose what is in there. If that is meant, plan it yourself with BY_HAND=yes"
        )
    if ours := by_people(shown):
        raise DeployError(
            f"{', '.join(ours)} may not be changed by a deployment, which would stop half way: apply it first with "
            "rights of your own, as with make deploy-plan BY_HAND=yes"
        )
    if opened := unguarded(shown):
        raise DeployError(
            f"{', '.join(opened)} would let operators in without signing in: operator_login is neither in "
            "TERRAFORM_SECRET_VARIABLES nor in a file. If that is meant, plan it yourself with BY_HAND=yes"
        )


def _image(digest: str) -> list[str]:
    # Without one, nothing runs: that is how an environment begins.
    return [f"-var=image_digest={digest}"] if digest else ["-var=running=false"]


def apply(target: Target, variables: Mapping[str, str]) -> None:
    """Do what was planned, and note what ran before. Raises DeployError."""
    if not (target.folder / PLAN).exists():
        raise DeployError("there is no plan: make deploy-plan first")
    REPORTS.mkdir(exist_ok=True)
    before = {"digest": target.running_digest()}
    note(target, before)
    run(target.terraform("apply", "-input=false", "-lock-timeout=10m", PLAN), seconds=APPLY_SECONDS)
    release = _api_release(target)
    if release and not _takes_requests(target, lambda version: version == release.task_definition):
        # Noted at once: a job may be cut off while requests move.
        number = CodeDeploy().release(release, lambda started: note(target, {**before, "release": started}))
        summarise(f"CodeDeploy has moved the API's requests: {number}")
    summarise(f"{target.environment} has {variables.get('DIGEST', '')}")


def rollback(target: Target, variables: Mapping[str, str]) -> None:
    """Apply the image that ran before, and nothing else of what was: the files are those of the checkout.

    The API's requests go back first, to tasks that still stand. Raises DeployError where nothing ran before, or that
    fails as well.
    """
    if not target.note.exists():
        raise DeployError("nothing is noted of what ran before: deploy an earlier image by hand (docs/release.md)")
    before = json.loads(target.note.read_text())
    digest = before["digest"]
    if not digest:
        raise DeployError("nothing ran before: there is nothing to go back to")
    if (number := before.get("release")) and CodeDeploy().take_back(number):
        summarise(f"CodeDeploy has taken the API's requests back from {number}")
    arguments = ["-input=false", "-auto-approve", "-lock-timeout=10m", *_image(checked_digest(digest))]
    run(target.terraform("apply", *arguments), seconds=APPLY_SECONDS)
    release = _api_release(target)
    # Terraform has made a version of its own for the old image: it is the image that counts.
    if release and not _takes_requests(target, lambda version: digest_of(version) == digest):
        again = CodeDeploy().release(release, lambda started: note(target, {**before, "release": started}))
        summarise(f"CodeDeploy has moved the API's requests: {again}")
    summarise(f"{target.environment} is back at {digest}")


def note(target: Target, before: Mapping[str, str]) -> None:
    """Note what ran before, and by which number CodeDeploy replaces it."""
    target.note.write_text(json.dumps(before))


def _api_release(target: Target) -> ApiRelease | None:
    told = target.outputs().get("api_release")
    return ApiRelease.of_output(told, f"{target.name}:{target.name}-api") if told else None


def _takes_requests(target: Target, wanted: Callable[[str], bool]) -> bool:
    answered = aws("ecs", "describe-services", "--cluster", target.name, "--services", f"{target.name}-api")
    versions = [version for service in answered["services"] for version in primary_versions(service)]
    # Without a service nothing runs yet, and one that Terraform has just made has its version already.
    return not versions or any(wanted(version) for version in versions)


def primary_versions(service: Mapping[str, Any]) -> list[str]:
    """Task definitions of what takes a service's requests, as `aws ecs describe-services` tells them.

    Where CodeDeploy changes the service, these are in its task sets; otherwise ECS tells the one.
    """
    sets = [each["taskDefinition"] for each in service.get("taskSets", []) if each["status"] == "PRIMARY"]
    return sets or [service["taskDefinition"]] if service.get("status", "ACTIVE") == "ACTIVE" else []


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
