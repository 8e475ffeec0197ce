"""Known vulnerabilities of every package in the locks, by pip-audit, which needs the internet.

pip-audit passes where it is answered nothing, as by a mirror of PyPI that knows of no vulnerabilities. So a release
that is known to have some is asked about first; where none are told, nothing was looked up, and the audit fails.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

KNOWN = "jinja2==2.4.1"
"""A release that has had advisories for ten years."""
_NOT_OURS: dict[str, str] = {}
"""Number of an advisory -> why it does not concern us, and until when."""
_AUDIT = (sys.executable, "-m", "pip_audit", "--disable-pip", "--no-deps", "--progress-spinner=off", "--format=json")


def advisories(locks: Iterable[Path], *, hashes: bool = True) -> dict[str, list[str]]:
    """Package and version -> numbers of its advisories. Raises RuntimeError when they cannot be looked up."""
    command = [
        *_AUDIT,
        *(["--require-hashes"] if hashes else []),
        *(part for lock in locks for part in ("-r", str(lock))),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        answered = json.loads(done.stdout)
    except json.JSONDecodeError:
        raise RuntimeError(done.stderr.strip()[-1500:] or "pip-audit said nothing") from None
    skipped = [each["name"] for each in answered["dependencies"] if "skip_reason" in each]
    if skipped:
        raise RuntimeError(f"nothing is told about {', '.join(sorted(skipped)[:10])}")
    return {
        f"{each['name']} {each['version']}": [found["id"] for found in each["vulns"]]
        for each in answered["dependencies"]
        if each["vulns"]
    }


def audited(locks: list[Path], look: Callable[..., dict[str, list[str]]] = advisories) -> tuple[int, list[str]]:
    """Exit code and lines of a report: 0 nothing known, 1 something is, 3 it could not be looked up."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            known = Path(folder, "known.txt")
            known.write_text(f"{KNOWN}\n")
            if not look([known], hashes=False):
                return 3, [
                    f"not looked up: of {KNOWN}, which has advisories, none are told. The index that is asked knows "
                    "of no vulnerabilities: the audit needs pypi.org"
                ]
        found = look(locks)
    except RuntimeError as error:
        return 3, [f"not looked up, which needs the internet: {error}"]
    open_ = {name: [number for number in numbers if number not in _NOT_OURS] for name, numbers in found.items()}
    lines = [f"{name}: {', '.join(numbers)}" for name, numbers in sorted(open_.items()) if numbers]
    return (1, lines) if lines else (0, [f"no advisory is known for what is in {', '.join(map(str, locks))}"])


def main() -> int:
    """Audit every lock of the repository."""
    code, lines = audited(sorted(Path().glob("requirements*.lock")))
    print("\n".join(lines), file=sys.stderr if code else sys.stdout)
    return code


if __name__ == "__main__":
    sys.exit(main())
