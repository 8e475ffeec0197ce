"""Files searched for secrets by detect-secrets, against a baseline of what looks like one and is none."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from detect_secrets.core.secrets_collection import SecretsCollection
from detect_secrets.settings import transient_settings

from checks.files import tracked

BASELINE = Path("checks/secrets.baseline.json")
"""In detect-secrets' own format, so that `detect-secrets audit` reads it; lines in it are where it was at the time."""
MADE_UP_IN_TESTS = frozenset({"Basic Auth Credentials", "Secret Keyword"})
"""Kinds that go by how it is written alone, as tests have many; keys of a known form are looked for there as well."""
PICTURES = frozenset({".gif", ".ico", ".jpg", ".png", ".webp"})


def found(root: Path, settings: dict[str, object], files: Iterable[Path]) -> SecretsCollection:
    """What looks like a secret in files below `root`."""
    with transient_settings(settings):
        collection = SecretsCollection(root=str(root))
        collection.scan_files(*(str(path) for path in files if path.suffix not in PICTURES))
    return collection


def _is_made_up(name: str, kind: str) -> bool:
    return kind in MADE_UP_IN_TESTS and Path(name).parts[0] == "crm_assets_tests"


def main(arguments: list[str]) -> int:
    """Print what is not in the baseline, and end with 1 when there is any.

    Args:
        arguments: the repository; then `--write` to put everything into the baseline instead, or `--only` and the files
            to look at, all that Git keeps or would keep by default.
    """
    root = Path(arguments[0])
    only = arguments[1:2] == ["--only"]
    files = [Path(name) for name in arguments[2:]] if only else tracked(root)
    baseline = json.loads((root / BASELINE).read_text())
    settings = {name: baseline[name] for name in ("plugins_used", "filters_used")}
    results = {
        name: [{**secret, "filename": name} for secret in secrets if not _is_made_up(name, secret["type"])]
        for name, secrets in sorted(found(root, settings, files).json().items())
    }
    if "--write" in arguments:
        kept = {name: secrets for name, secrets in results.items() if secrets}
        (root / BASELINE).write_text(json.dumps({**baseline, "results": kept}, indent=2) + "\n")
        return 0
    known = {
        (name, secret["type"], secret["hashed_secret"])
        for name, secrets in baseline["results"].items()
        for secret in secrets
    }
    new = [
        f"{name}:{secret['line_number']}: {secret['type']}"
        for name, secrets in results.items()
        for secret in secrets
        if (name, secret["type"], secret["hashed_secret"]) not in known
    ]
    for line in new:
        print(line)
    if new:
        print(
            "Take the secret out, and replace it where it is used. What is none: say so on its line by "
            "`pragma: allowlist secret`, or run make secrets-baseline and have the change reviewed."
        )
    return 1 if new else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
