"""What a feature is, and the rule that it may read nothing which was not known on its date."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

import narwhals as nw

from crm_assets.contracts import Column, Kind, Known, Table
from crm_assets.errors import CrmAssetsError
from crm_assets.history.closings import DAILY_CLOSINGS
from crm_assets.history.snapshots import SNAPSHOTS

READABLE = {table.name: table for table in (SNAPSHOTS, DAILY_CLOSINGS)}
"""Tables a feature may read: the snapshot it is of, and the closings counted from it."""
UNKNOWN_WHILE_OPEN = frozenset({Known.CLOSED, Known.LATE})
"""Columns known then tell the outcome of an opportunity that is still open, or may tell it."""


class FeatureError(CrmAssetsError):
    """A feature is defined in a way that could let the future in, or is not well defined."""


class Cause(enum.Enum):
    """What a change of a feature's value from one month to the next counts as.

    Attributes:
        DEAL: the CRM says something else of the opportunity itself.
        TIME: it grew older, or another month is predicted.
        WORLD: other opportunities were engaged or closed, those of its agent, manager, region, product or cohort.
    """

    DEAL = "deal"
    TIME = "time"
    WORLD = "world"


@dataclass(frozen=True)
class Feature:
    """One column of the feature table.

    Attributes:
        name: column name.
        description: what it says, for readers.
        kind: FLOAT or INTEGER for numbers, STRING for categories.
        cause: what a change of its value counts as.
        reads: `table.column` of everything its value comes from. On `opportunity_snapshots` a column of the opportunity
            itself, which must be known while it is open; on `daily_closings` the closed deals of others.
        expression: its value, over the book joined with the counts of `features.counts`.
        unit: unit of a number, None where it has none.
    """

    name: str
    description: str
    kind: Kind
    cause: Cause
    reads: tuple[str, ...]
    expression: nw.Expr
    unit: str | None = None

    @property
    def categorical(self) -> bool:
        """Whether its values are categories."""
        return self.kind is Kind.STRING

    def column(self) -> Column:
        """The feature as a column of a table's contract."""
        return Column(self.name, self.kind, self.description, unit=self.unit)


def check_features(features: Iterable[Feature], readable: dict[str, Table] = READABLE) -> tuple[Feature, ...]:
    """The features as a tuple, if every one may exist.

    Raises:
        FeatureError: a name occurs twice, a column that is read does not exist, or a column is read whose value is not
            known for certain while an opportunity is open (`at close`, or `late, unknown when`).
    """
    checked: dict[str, Feature] = {}
    for feature in features:
        if feature.name in checked:
            raise FeatureError(f"feature {feature.name!r} is defined twice: rename one of them")
        if not feature.reads:
            raise FeatureError(f"feature {feature.name!r} does not say what it reads: list `table.column` in reads")
        for place in feature.reads:
            table_name, _, column_name = place.partition(".")
            if table_name not in readable or column_name not in readable[table_name].column_names:
                raise FeatureError(
                    f"feature {feature.name!r} reads {place!r}, which does not exist; readable tables are "
                    f"{', '.join(readable)}"
                )
            known = readable[table_name].column(column_name).known
            if known in UNKNOWN_WHILE_OPEN:
                raise FeatureError(
                    f"feature {feature.name!r} reads {place!r}, which becomes known {known.value}: it would tell the "
                    f"outcome of an opportunity that is still open. Read it through daily_closings, or leave it out"
                )
        checked[feature.name] = feature
    return tuple(checked.values())
