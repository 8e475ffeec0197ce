"""How a backfill is written down in Dagster: the tags of its runs, and what their status means."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from crm_assets.backfill_plan import Question
from crm_assets.client.backfill import State
from crm_assets.errors import CrmAssetsError

JOB = "backfill"
"""Name of the job whose runs are backfills; `crm_assets.defs.jobs.BACKFILL`, which would load Dagster."""
SENSOR = "backfill_plan"
"""Name of the sensor that answers questions; `crm_assets.defs.planning.SENSOR`."""
ASKED_TAG = "crm_assets/backfill"
"""Tag of a run: `asked_key` of what was asked for, so that a run that is going on can be joined."""
LAUNCH_TAG = "crm_assets/launch"
"""Tag of a run: name of the one attempt to launch it, so that it can be found when the answer was lost."""
TOTAL_TAG = "crm_assets/backfill_total"
"""Tag of a run: how many months of assets it stores."""

_STATES = {
    "QUEUED": State.QUEUED,
    "NOT_STARTED": State.QUEUED,
    "SUCCESS": State.DONE,
    "FAILURE": State.FAILED,
    "CANCELED": State.CANCELED,
}


def state_of(status: str) -> State:
    """What Dagster's status of a run means for a backfill; whatever is neither waiting nor over is running."""
    return _STATES.get(status, State.RUNNING)


def asked_key(asked: Question) -> str:
    """A name of what was asked for, equal for equal questions, in whatever order they name the assets."""
    assets = None if asked.assets is None else tuple(sorted(set(asked.assets)))
    return hashlib.sha256(replace(asked, assets=assets).to_json().encode()).hexdigest()[:16]


def error_kinds() -> dict[str, type[CrmAssetsError]]:
    """By name, the classes of errors whose text is meant for people."""
    found: dict[str, type[CrmAssetsError]] = {}
    waiting: list[type[CrmAssetsError]] = [CrmAssetsError]
    while waiting:
        kind = waiting.pop()
        found[kind.__name__] = kind
        waiting += kind.__subclasses__()
    return found
