"""Evidently's interactive table of columns, made to say what our own table says.

Evidently draws; how far a column moved, and whether that matters, is decided in `drift_columns`. Its own tests would
say something else, so one that says nothing is registered with it, and what was decided takes its place.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

_IDS = re.compile(r"metric_[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass(frozen=True)
class Drawn:
    """One column to draw.

    Attributes:
        name: of the column.
        reference, current: the values to draw, (n,) and (m,): float64 without NaN, or objects that are text.
        psi: how far it moved.
        moved: whether that matters.
    """

    name: str
    reference: NDArray[Any]
    current: NDArray[Any]
    psi: float
    moved: bool


def evidently_page(columns: Sequence[Drawn]) -> str:
    """Evidently's stand-alone HTML page of the columns, in their order; the same bytes for the same values."""
    import pandas as pd

    evidently = _evidently()
    categorical = [column.name for column in columns if column.current.dtype == object]
    definition = evidently.DataDefinition(
        numerical_columns=[column.name for column in columns if column.name not in categorical],
        categorical_columns=categorical,
    )
    # Columns of a side differ in length: the scores are the book's, the others the intake's; Evidently leaves out what
    # is missing. The page holds the categories unescaped inside a script, where `</script>` would end it.
    sides = []
    for side in ("current", "reference"):
        values = {column.name: pd.Series(getattr(column, side)) for column in columns}
        frame = pd.DataFrame({n: v.map(escape) if n in categorical else v for n, v in values.items()})
        sides.append(evidently.Dataset.from_pandas(frame, data_definition=definition))
    decided = {column.name: (column.psi, column.moved) for column in columns}
    table = evidently.ColumnPictures(decided=decided)
    # Evidently also correlates the numbers, which divides by zero where one is constant; nothing of that is shown.
    with np.errstate(divide="ignore", invalid="ignore"):
        snapshot = evidently.Report([table]).run(*sides)
    return _with_fixed_ids(snapshot.get_html_str(as_iframe=False))


@functools.cache
def _evidently() -> SimpleNamespace:
    """What is used of Evidently, with a test registered that says nothing; the first call takes seconds."""
    with warnings.catch_warnings():
        # Importing Evidently 0.7.23 meets what numpy (numpy.core) and litestar (Dependency) have deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.core.container import MetricContainer
        from evidently.legacy.calculations.stattests import StatTest, register_stattest
        from evidently.legacy.core import ColumnType
        from evidently.legacy.metrics import DataDriftTable

    def undecided(_now: pd.Series, _then: pd.Series, _kind: object, _threshold: float) -> tuple[float, bool]:
        return 0.0, False

    given = StatTest("crm_psi", "PSI", [ColumnType.Numerical, ColumnType.Categorical])
    register_stattest(given, undecided)

    class ColumnPictures(MetricContainer):  # type: ignore[misc]  # Evidently publishes no types
        """Evidently's drift table of given columns, in a given order, with a given verdict."""

        decided: dict[str, tuple[float, bool]]

        def generate_metrics(self, _context: Any) -> list[Any]:
            return []

        def render(self, context: Any, _child_widgets: Any = None) -> list[Any]:
            metric = DataDriftTable(columns=list(self.decided), num_stattest=given.name, cat_stattest=given.name)
            result, (_heading, table) = context.get_legacy_metric(metric, None, None)
            _make_plain(table, result.drift_by_columns, self.decided)
            return [table]

    return SimpleNamespace(DataDefinition=DataDefinition, Dataset=Dataset, Report=Report, ColumnPictures=ColumnPictures)


def _make_plain(table: Any, results: Mapping[str, Any], decided: Mapping[str, tuple[float, bool]]) -> None:
    """Mend in place what misleads in Evidently's table widget.

    Its rows come in an order of its own, with the verdict of the registered test. The small histograms of one
    column have different bins. The first detail plots a mean by row number, though rows have no order. The second
    counts rows, though the reference has several times as many.
    """
    order = list(decided)
    table.title = ""
    for column in table.params["columns"]:
        if column["field"] == "drift_score":
            column["title"] = "PSI"
    rows = sorted(table.params["data"], key=lambda row: order.index(row["column_name"]))
    table.params["data"] = rows
    table.params["rowsPerPage"] = len(rows)
    kept = set()
    for row in rows:
        name = row["column_name"]
        psi, moved = decided[name]
        row["drift_score"], row["data_drift"] = round(psi, 6), "Moved" if moved else "Not moved"
        parts = row["details"]["parts"]
        parts[:] = [part for part in parts if part["title"] == "DATA DISTRIBUTION"]
        kept |= {part["id"] for part in parts}
        if row["column_type"] == "num":
            for side in ("current", "reference"):
                histogram = getattr(results[name], side).distribution
                row[f"{side}_distribution"] = {"x": list(histogram.x), "y": list(histogram.y)}
    table.additionalGraphs = [graph for graph in table.additionalGraphs if graph.id in kept]
    for graph in table.additionalGraphs:
        for trace in graph.params["data"]:
            trace["visible"] = not trace["visible"]
        graph.params["layout"]["updatemenus"][0]["active"] = 1
        graph.params["layout"]["yaxis"]["title"]["text"] = "Percent"


def _with_fixed_ids(page: str) -> str:
    """The page with the random identifiers of its data replaced by their order; scripts stay as they are."""
    data, _, _ = page.partition("</head>")
    for number, found in enumerate(dict.fromkeys(_IDS.findall(data))):
        page = page.replace(found, f"drift_{number}")
    return page
