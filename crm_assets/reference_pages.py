"""The pages of `docs/` that are made from the code: tables, features and configuration. `make docs` writes them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from crm_assets import profiles
from crm_assets.calendar import Month
from crm_assets.contracts import CRM_TABLES, OPPORTUNITY_HISTORY, SALES_PIPELINE, Column, Known, Table
from crm_assets.defs.assets import ASSETS
from crm_assets.defs.monthly import HISTORY_MONTHS, MonthlyAsset, Needs
from crm_assets.features.counts import RECENT_DAYS
from crm_assets.features.feature import UNKNOWN_WHILE_OPEN
from crm_assets.features.registry import AS_OF, FEATURE_TABLE, FEATURES, SMOOTHING, WIN_MODEL_FEATURES
from crm_assets.modelling.hazard_candidate import CURE_HAZARD, HAZARD_FEATURES
from crm_assets.modelling.movement import PLAYERS
from crm_assets.profiles import PROFILES
from crm_assets.settings import PREFIX, TESTS_ONLY, Settings

_MADE = "<!-- Made from the code by `make docs`; edit the definitions, not this page. -->"
_USAGE = "usage: python -m crm_assets.reference_pages FOLDER"

_AVAILABILITY = {
    Known.ALWAYS: "Reference data: a month's extract says what held at its end.",
    Known.CREATED: "From the day the opportunity stands in the CRM; it does not change afterwards.",
    Known.ENGAGED: "From `engage_date` on; empty before.",
    Known.CLOSED: "From `close_date` on. While a deal is open it is empty, so it tells the outcome.",
    Known.LATE: "Filled in at some time, and nothing says when. A late export rolled back leaves it empty in every "
    "earlier month.",
}
"""What each availability means, for readers."""

_AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "Key of the account.",
    "AWS_SECRET_ACCESS_KEY": "Its secret.",
    "AWS_SESSION_TOKEN": "Token of temporary credentials.",
    "AWS_PROFILE": "Profile in `~/.aws`, instead of a key.",
    "AWS_REGION": "Region of the bucket; `AWS_DEFAULT_REGION` is read too.",
    "AWS_ENDPOINT_URL_S3": "Another server than Amazon's, such as MinIO; `AWS_ENDPOINT_URL` is read too.",
    "AWS_MAX_ATTEMPTS": "How often a request is sent in all; 8 unless set, and 3 until the place has answered once.",
    "AWS_CA_BUNDLE": "Certificates to trust, for a server of one's own.",
}
_MLFLOW_VARIABLES = {
    "MLFLOW_TRACKING_USERNAME": "User of an MLflow server that asks for one.",
    "MLFLOW_TRACKING_PASSWORD": "The user's password; one in `CRM_MLFLOW_TRACKING_URI` is refused.",
    "MLFLOW_TRACKING_TOKEN": "Bearer token, instead of user and password.",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "How often a request is tried again; 2 unless set, and 6 in a run.",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "Seconds a request may take; 30 unless set.",
}
_OTHER_VARIABLES = {
    "DAGSTER_HOME": "Dagster's own home, instead of the one below `CRM_HOME`.",
    "KAGGLE_USERNAME": "Account for sources `kaggle:OWNER/DATASET`.",
    "KAGGLE_KEY": "Its key.",
    "TMPDIR": "Folder of temporary files: downloads from S3, tables while they are written, what DuckDB spills.",
}

_PROFILES_TOLD = (
    "A profile is a small file of settings for one kind of deployment; the environment and `.env` win over it. "
    f"`staging` and `production` set `{PREFIX}REQUIRE_SERVICES`: nothing starts before `{PREFIX}SOURCE_URL`, a lake "
    f"on S3, an MLflow server, `{PREFIX}DAGSTER_POSTGRES_URL` and, where there are alerts, `{PREFIX}DAGSTER_URL` are "
    "named, and one message names all that are missing. Secrets have no default and stand in no profile; they come "
    "from the environment, or on one person's machine from `.env`."
)
_HOME_TOLD = (
    f"`crm-assets run` and `make dev` write `dagster.yaml` into Dagster's home (`{PREFIX}HOME`, or `DAGSTER_HOME`), "
    "and so does `python -m crm_assets.dagster_home`, which prints the folder: the queue with its limit, pools in "
    "which one run goes on at a time, run monitoring, how long ticks are kept, and PostgreSQL where "
    f"`{PREFIX}DAGSTER_POSTGRES_URL` is set, whose value is never written. The file follows the settings until "
    "somebody edits it; then it stays as it is, and `crm-assets doctor` says when it is out of date. Two data sets "
    "need a database each, for they share asset names."
)


@dataclass(frozen=True)
class _Cells:
    """A column of a Markdown table: its title, and the text of a row."""

    title: str
    text: Callable[[Any], str]


def tables_page() -> str:
    """Every table: what a row is, and of each column type, unit, rules, availability and meaning."""
    derived = [asset for asset in ASSETS if asset.group != "raw"]
    parts = [
        "# Tables",
        _MADE,
        "The contracts of every table, as the code checks them. A source provides the "
        "[CRM tables](#crm-tables); the [derived tables](#derived-tables) are made from them. Each is stored once per "
        "month: everything in the file of month `m` was known at the end of `m`.",
        "An empty cell means that there is nothing to say: no unit, no rule, not required.",
        "## When a value becomes known",
        "Each column of an opportunity says when its value becomes known. Replay blanks what was not known yet at a "
        "month-end, and no feature of an opportunity may read a column that becomes known "
        f"{_either([known.value for known in Known if known in UNKNOWN_WHILE_OPEN])}.",
        _grid(list(Known), [_Cells("Known", lambda known: known.value), _Cells("Meaning", _AVAILABILITY.__getitem__)]),
        "## CRM tables",
        "What a source holds, in files called for the tables. In the lake they are stored as `raw/TABLE`.",
        *(_table(table, None) for table in CRM_TABLES),
        f"A source that keeps [field history](sources.md#field-history) gives `{OPPORTUNITY_HISTORY.name}` in place of "
        f"`{SALES_PIPELINE.name}`, which is made from it; only what is made is stored.",
        _table(OPPORTUNITY_HISTORY, None),
        "## Derived tables",
        "Tables have the names of the [assets](graph.md) that make them.",
        *(_table(asset.table, asset) for asset in derived),
    ]
    return _page(parts)


def features_page() -> str:
    """Every feature: name, type, unit, meaning, what a change of it counts as and what it reads."""
    cells = [
        _Cells("Feature", lambda feature: f"`{feature.name}`"),
        _Cells("Type", lambda feature: feature.kind.value),
        _Cells("Unit", lambda feature: feature.unit or ""),
        _Cells("Meaning", lambda feature: feature.description),
        _Cells("Cause", lambda feature: PLAYERS[feature.cause.value]),
        _Cells("Reads", lambda feature: ", ".join(f"`{place}`" for place in feature.reads)),
        _Cells("Read by", lambda feature: _readers(feature.name)),
    ]
    known = _either([known.value for known in Known if known in UNKNOWN_WHILE_OPEN])
    parts = [
        "# Features",
        _MADE,
        f"The {len(FEATURES)} columns of [`{FEATURE_TABLE.name}`](tables.md#{FEATURE_TABLE.name}) that describe an "
        "opportunity in the book (engaged and not closed) at a month-end. Each is one expression in "
        "`crm_assets/features/registry.py` and says what it reads; one that reads a column of the opportunity itself "
        f"that becomes known {known} is refused when the module is imported.",
        f"Recent means the last {RECENT_DAYS} days up to the month-end. A smoothed rate of a group is drawn towards "
        f"the rate of all deals: (hits + {SMOOTHING} * overall rate) / (trials + {SMOOTHING}). It is empty while "
        "there is no overall rate, that is before the first close.",
        "The cause is what a change of the value between two months counts as when it is told "
        "[why a score moved](reasons.md#why-a-score-moved).",
        f"Candidates that learn from rows read {len(WIN_MODEL_FEATURES)} of them, and `{CURE_HAZARD}` "
        f"{len(set(HAZARD_FEATURES) - {AS_OF})}; see [the model](model.md#features).",
        _grid(FEATURES, cells),
    ]
    return _page(parts)


def configuration_page() -> str:
    """Every setting: variable, default, allowed values and meaning; and the variables of others that count."""
    cells = [
        _Cells("Variable", lambda item: f"`{PREFIX}{item[0].upper()}`"),
        _Cells("Default", lambda item: _default(item[1].default)),
        _Cells("Allowed", lambda item: _allowed(item[1])),
        _Cells("Meaning", lambda item: item[1].description),
    ]
    (tests_only,) = TESTS_ONLY
    parts = [
        "# Configuration",
        _MADE,
        "Settings come from the environment, and where it says nothing from a file `.env` in the working directory "
        f"with a line per setting, such as `{PREFIX}LAKE_URL=s3://bucket/prefix`, or else from the "
        f"[profile](#profiles). A `{PREFIX}` variable that is no setting is refused, with the name that may have been "
        "meant. `crm-assets doctor` shows what is in force and where each value comes from, and whether source, "
        "lake, model registry and Dagster's storage can be reached.",
        "## Settings",
        _grid(list(Settings.model_fields.items()), cells),
        "Changing a setting that shapes an asset's content makes its months out of date, and the next run makes them "
        "again; see [the graph](graph.md#what-is-up-to-date).",
        f"`{tests_only}` is read by the tests alone: the folder of one real export, for the tests that need it.",
        "## Profiles",
        _PROFILES_TOLD,
        *(f"`{name}`:\n\n```yaml\n{_shipped(name)}```" for name in PROFILES),
        f"`{PREFIX}PROFILE` may also be the path of a YAML file of your own: settings under the names above in small "
        f"letters, without `{PREFIX}`, one a line, such as `lake_url: s3://bucket/prefix`. An unknown name, a wrong "
        "type, a name twice and a secret are refused, with file and line.",
        "## Dagster's home",
        _HOME_TOLD,
        "## S3",
        "For sources and lakes at `s3://bucket/prefix`. These and the variables below are read from the environment, "
        "not from `.env`.",
        _variables(_AWS_VARIABLES),
        "## MLflow",
        f"For a server in `{PREFIX}MLFLOW_TRACKING_URI`. `MLFLOW_TRACKING_URI` itself is not read.",
        _variables(_MLFLOW_VARIABLES),
        "## Others",
        _variables(_OTHER_VARIABLES),
    ]
    return _page(parts)


PAGES: Mapping[str, Callable[[], str]] = {
    "tables.md": tables_page,
    "features.md": features_page,
    "configuration.md": configuration_page,
}
"""File name -> what makes its content."""


def write_pages(folder: Path) -> None:
    """Write every page into `folder`. Raises OSError when it cannot be written."""
    for name, make in PAGES.items():
        (folder / name).write_text(make(), encoding="utf-8")


def _table(table: Table, asset: MonthlyAsset | None) -> str:
    facts = []
    if table.key:
        facts.append(f"Key: {', '.join(f'`{name}`' for name in table.key)}.")
    if table.optional:
        facts.append("A source may lack it.")
    if asset is not None:
        facts.append(f"Group: {asset.group}.")
        facts.append(f"Reads {', '.join(_read(needs) for needs in asset.needs)}.")
    # What is derived is all known at the month-end.
    told = table in CRM_TABLES
    cells = [
        _Cells("Column", lambda column: f"`{column.name}`"),
        _Cells("Type", lambda column: column.kind.value),
        _Cells("Unit", lambda column: column.unit or ""),
        _Cells("Required", lambda column: "yes" if column.required else ""),
        _Cells("Rules", _rules),
        _Cells("Known", lambda column: column.known.value if told else ""),
        _Cells("Meaning", lambda column: column.description),
    ]
    return _page([f"### {table.name}", table.description, " ".join(facts), _grid(table.columns, cells)]).rstrip()


def _readers(feature: str) -> str:
    """Which candidates read a feature."""
    readers = (("rows", WIN_MODEL_FEATURES), (f"`{CURE_HAZARD}`", HAZARD_FEATURES))
    return ", ".join(name for name, read in readers if feature in read)


def _rules(column: Column) -> str:
    rules = []
    if column.allowed:
        rules.append(f"one of {', '.join(column.allowed)}")
    if column.minimum is not None:
        rules.append(f"at least {column.minimum:g}")
    if column.references is not None:
        table, name = column.references
        rules.append(f"in [`{table}`](#{table}).`{name}`")
    rules += [f"`{wrong}` stands for `{right}`" for wrong, right in column.aliases.items()]
    return "; ".join(rules)


def _read(needs: Needs) -> str:
    months = {
        (0, 0): "",
        (-1, -1): " (the month before)",
        (-1, 0): " (this month and the one before)",
        (-HISTORY_MONTHS, 0): " (this month and all before)",
        (-HISTORY_MONTHS, -1): " (all months before)",
    }[needs.first, needs.last]
    name = needs.asset.rpartition("/")[2]
    return f"[`{needs.asset}`](#{name}){months}"


def _default(value: object) -> str:
    shown = str(value).lower() if isinstance(value, bool) else value
    return "" if value in {None, ""} else f"`{shown}`"


def _allowed(setting: Any) -> str:
    if get_origin(setting.annotation) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(setting.annotation))
    if any(Month in get_args(part) for part in get_args(setting.annotation)):
        return "`YYYY-MM`"
    bounds = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    return ", ".join(
        f"{text} {getattr(bound, name)}"
        for bound in setting.metadata
        for name, text in bounds.items()
        if hasattr(bound, name)
    )


def _shipped(profile: str) -> str:
    return (Path(profiles.__file__).parent / f"{profile}.yaml").read_text(encoding="utf-8")


def _variables(variables: Mapping[str, str]) -> str:
    cells = [_Cells("Variable", lambda item: f"`{item[0]}`"), _Cells("Meaning", lambda item: item[1])]
    return _grid(list(variables.items()), cells)


def _grid(rows: Sequence[Any], cells: Sequence[_Cells]) -> str:
    """A Markdown table; columns without any text are left out."""
    texts = {cell.title: [cell.text(row).replace("|", "\\|") for row in rows] for cell in cells}
    shown = {title: column for title, column in texts.items() if any(column)}
    lines = [list(shown), ["---"] * len(shown), *map(list, zip(*shown.values(), strict=True))]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _either(items: Sequence[str]) -> str:
    """`a`, `b` or `c` in quotes."""
    quoted = [f'"{item}"' for item in items]
    return " or ".join([", ".join(quoted[:-1]), quoted[-1]] if len(quoted) > 1 else quoted)


def _page(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part) + "\n"


def main() -> None:
    """Write the pages into the folder that the command line names."""
    if len(sys.argv) != 2:
        sys.exit(_USAGE)
    write_pages(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
