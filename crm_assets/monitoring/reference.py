"""The reference set: what normal looked like when the champion was trained, and for how long it stays so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_assets.calendar import Month
from crm_assets.contracts import Column, Kind, Table
from crm_assets.features.registry import FEATURE_TABLE
from crm_assets.monitoring.errors import MonitoringError
from crm_assets.monitoring.rows import as_probabilities, require_columns, require_one

if TYPE_CHECKING:
    import pandas as pd

INTAKE, BOOK, CLOSINGS = PARTS = ("intake", "book", "closings")
"""What of a month is compared: the deals engaged in it, the open deals at its end with their scores, and the deals that
closed in it."""

INTAKE_NUMBERS = ("list_price",)
INTAKE_CATEGORIES = ("product", "regional_office", "manager")
"""What comes from outside: price, product mix, regions and teams. Ages and histories follow the calendar and add up
over time, so they differ every month."""
INTAKE_COLUMNS = (*INTAKE_NUMBERS, *INTAKE_CATEGORIES)
"""Columns of the intake that are tested."""
BOOK_NUMBERS = (
    "age_days",
    "list_price",
    "cohort_size",
    "cohort_share_open",
    "agent_share_open_100",
    "agent_share_open_138",
)
"""Numbers that models and scores are made of, watched for their units, their range and for being there at all."""
AGENTS_NUMBERS = ("agent_share_open_100", "agent_share_open_138")
"""Those of them that are an agent's and not the deal's. They change with the agent's whole history, so that their size
tells nothing of units; their range does."""
SHARES = ("cohort_share_open", *AGENTS_NUMBERS)
"""Those that are shares."""
INTAKE_READ = tuple(dict.fromkeys((*INTAKE_COLUMNS, *BOOK_NUMBERS)))
"""All columns of the intake."""
CLOSING_COLUMNS = ("regional_office", "won")

REFERENCE_MONTHS = 12
"""Newest months before the champion's training that its reference is made of: four of each quarter position."""
FEWEST_INTAKES = 3
"""Months of intake below which the reference takes in later ones."""

KEY_COLUMNS = ("part", "snapshot_month", "opportunity_id")

REFERENCE = Table(
    "reference_set",
    "One row per part, month and opportunity: the intake, the scored books and the closings that months are compared "
    "with while a model version is champion.",
    (
        Column("part", Kind.STRING, "What it is a row of", required=True, allowed=PARTS),
        Column("snapshot_month", Kind.STRING, "Month it is from, YYYY-MM", required=True),
        Column("opportunity_id", Kind.STRING, "Identifier of the opportunity", required=True),
        Column("model_version", Kind.STRING, "Version of the champion it stands for", required=True),
        Column("made_in", Kind.STRING, "Month in which the row came into the reference, YYYY-MM", required=True),
        *(FEATURE_TABLE.column(name) for name in INTAKE_READ),
        Column(
            "probability",
            Kind.FLOAT,
            "Of an open deal: probability of a win by a model that had not seen its outcome",
            unit="probability",
            minimum=0,
        ),
        Column("won", Kind.INTEGER, "Of a closed deal: 1 if it was won, else 0", minimum=0),
    ),
    key=KEY_COLUMNS,
)

POSITION_NAMES = {1: "first", 2: "second", 3: "third"}
"""Months of a quarter by position, for messages."""

_NEEDED = {
    INTAKE: INTAKE_READ,
    BOOK: (*BOOK_NUMBERS, "probability"),
    CLOSINGS: CLOSING_COLUMNS,
}


def reference_set(
    parts: dict[str, pd.DataFrame], *, model_version: str, made_in: Month, before: pd.DataFrame | None = None
) -> pd.DataFrame:
    """A new reference, or one carried over with months added to it.

    Every row of a month is taken: a sample by outcome would not look like a book, in which most deals stay open.

    Args:
        parts: part -> rows with `snapshot_month` ("2017-05"), `opportunity_id` and that part's columns: INTAKE_COLUMNS,
            BOOK_NUMBERS with `probability` out of sample, or CLOSING_COLUMNS. Other columns are left out.
        model_version: version of the champion it stands for.
        made_in: month whose reference is made; all rows are of earlier months.
        before: the reference of the month before, of the same version, which is kept unchanged.

    Returns:
        Rows of REFERENCE, sorted by part, month and opportunity.

    Raises:
        MonitoringError: a column is missing, a row is repeated, a probability is out of range, the rows are not of
            earlier months, or `before` is of another version.
    """
    import pandas as pd

    frames = []
    if before is not None and len(before):
        require_columns(before, REFERENCE.column_names, "the reference rows of the month before")
        require_one(
            before,
            "model_version",
            model_version,
            "the reference rows of the month before",
            "make the reference of that version anew",
        )
        frames.append(before[REFERENCE.column_names].astype(REFERENCE.pandas_types()))
    for part, rows in parts.items():
        place = f"the {part} rows of the reference"
        require_columns(rows, ["snapshot_month", "opportunity_id", *_NEEDED[part]], place)
        if part == BOOK:
            as_probabilities(rows["probability"], place)
        kept = rows[["snapshot_month", "opportunity_id", *_NEEDED[part]]]
        made = kept.assign(part=part, model_version=model_version, made_in=str(made_in))
        frames.append(made.reindex(columns=REFERENCE.column_names).astype(REFERENCE.pandas_types()))
    if not frames:
        return pd.DataFrame(columns=REFERENCE.column_names).astype(REFERENCE.pandas_types())
    reference = pd.concat(frames, ignore_index=True)
    repeated = reference[reference.duplicated(list(KEY_COLUMNS))]
    if len(repeated):
        part, month, opportunity = (repeated.iloc[0][name] for name in KEY_COLUMNS)
        raise MonitoringError(
            f"the reference repeats opportunity {opportunity!r} in the {part} of {month}; {len(repeated)} rows are "
            "repeats: give each month once"
        )
    latest = max(reference["snapshot_month"].unique(), default="")
    if latest >= str(made_in):
        raise MonitoringError(
            f"the reference of {made_in} would hold rows of {latest}: a month is compared with earlier ones only"
        )
    return reference.sort_values(list(KEY_COLUMNS), kind="stable").reset_index(drop=True)


def check_reference(reference: pd.DataFrame, month: Month, model_version: str) -> None:
    """Raise MonitoringError unless these are reference rows of that model version, all earlier than `month`."""
    place = "the reference rows"
    used = ["part", "snapshot_month", "model_version", *INTAKE_READ, "probability", "won"]
    require_columns(reference, used, place)
    require_one(reference, "model_version", model_version, place, f"make the reference of version {model_version}")
    latest = max(reference["snapshot_month"].unique(), default="")
    if latest >= str(month):
        raise MonitoringError(
            f"the reference rows reach {latest}, but {month} can be compared only with earlier months: make the "
            "reference from what had matured when the model was trained"
        )


def rows_of(reference: pd.DataFrame, part: str, position: int | None = None) -> pd.DataFrame:
    """The rows of one part, of all months or of those at one position in their quarter (1, 2 or 3)."""
    rows = reference[reference["part"] == part]
    if position is not None:
        months = [month for month in rows["snapshot_month"].unique() if position_of(month) == position]
        rows = rows[rows["snapshot_month"].isin(months)]
    return rows.reset_index(drop=True)


def months_held(reference: pd.DataFrame, part: str) -> list[Month]:
    """The months of one part, oldest first."""
    return sorted(Month.parse(text) for text in reference.loc[reference["part"] == part, "snapshot_month"].unique())


def position_of(month: str) -> int:
    """Position in its quarter of a month written as text."""
    return Month.parse(month).quarter_position


def why_no_book(position: int) -> str:
    """Why a month at that quarter position cannot be compared."""
    return f"the reference holds no book at the end of the {POSITION_NAMES[position]} month of a quarter"


def months_wanted(reference: pd.DataFrame, earlier: list[Month], first_close: Month | None) -> dict[str, list[Month]]:
    """The months that a kept reference takes in: those at quarter positions it lacks, and intakes while it has few.

    Args:
        reference: the reference of the month before.
        earlier: months since the champion's training and before the one whose reference is made, in order.
        first_close: month of the first close; books before it are never normal.
    """
    held = {part: months_held(reference, part) for part in PARTS}
    wanted: dict[str, list[Month]] = {part: [] for part in PARTS}
    for month in earlier:
        if month not in held[INTAKE] and len(held[INTAKE]) + len(wanted[INTAKE]) < FEWEST_INTAKES:
            wanted[INTAKE].append(month)
        if first_close is None or month < first_close:
            continue
        for part in (BOOK, CLOSINGS):
            positions = {each.quarter_position for each in (*held[part], *wanted[part])}
            if month.quarter_position not in positions:
                wanted[part].append(month)
    return wanted
