"""Evidently's interactive table of tested columns, made to say what our own column table says.

Evidently draws; whether a column drifted is decided in `drift_columns`. Its own chi-square test takes the reference for
the truth and fails on a category that the reference lacks, so ours are registered with it.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping
from html import escape
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from crm_assets.monitoring.two_samples import chi_square, kolmogorov_smirnov

if TYPE_CHECKING:
    import pandas as pd

_IDS = re.compile(r"metric_[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def evidently_page(
    current: pd.DataFrame, reference: pd.DataFrame, drifted: Mapping[str, bool], p_threshold: float
) -> str:
    """Evidently's stand-alone HTML page; the same bytes for the same rows.

    Args:
        current, reference: the tested columns alone: numbers as float64, categories as text without missing ones.
        drifted: for each of them, in the order to show them, whether it drifted.
        p_threshold: p-value at or below which a test says so.
    """
    evidently = _evidently()
    categorical = [name for name in drifted if current[name].dtype == object]
    definition = evidently.DataDefinition(
        numerical_columns=[name for name in drifted if name not in categorical], categorical_columns=categorical
    )
    # The page holds the categories unescaped inside a script, where `</script>` would end it.
    safe = [frame.assign(**{name: frame[name].map(escape) for name in categorical}) for frame in (current, reference)]
    sides = [evidently.Dataset.from_pandas(frame, data_definition=definition) for frame in safe]
    table = evidently.ColumnPictures(drifted=dict(drifted), p_threshold=p_threshold)
    # Evidently also correlates the numbers, which divides by zero where one is constant; nothing of that is shown.
    with np.errstate(divide="ignore", invalid="ignore"):
        snapshot = evidently.Report([table]).run(*sides)
    return _with_fixed_ids(snapshot.get_html_str(as_iframe=False))


@functools.cache
def _evidently() -> SimpleNamespace:
    """What is used of Evidently, with our tests registered; the first call takes seconds."""
    with warnings.catch_warnings():
        # Importing Evidently 0.7.23 meets what numpy (numpy.core) and litestar (Dependency) have deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        from evidently import DataDefinition, Dataset, Report
        from evidently.core.container import MetricContainer
        from evidently.legacy.calculations.stattests import StatTest, register_stattest
        from evidently.legacy.core import ColumnType
        from evidently.legacy.metrics import DataDriftTable

    def run_ks(reference: pd.Series, current: pd.Series, _kind: object, threshold: float) -> tuple[float, bool]:
        p_value = kolmogorov_smirnov(reference.to_numpy(), current.to_numpy()).p_value
        assert p_value is not None
        return p_value, p_value <= threshold

    def run_chi_square(reference: pd.Series, current: pd.Series, _kind: object, threshold: float) -> tuple[float, bool]:
        p_value = chi_square(reference.to_numpy(dtype=np.str_), current.to_numpy(dtype=np.str_)).p_value
        assert p_value is not None, "only tested columns are drawn"
        return p_value, p_value <= threshold

    ks = StatTest("crm_kolmogorov_smirnov", "Kolmogorov-Smirnov", [ColumnType.Numerical])
    chi = StatTest("crm_chi_square", "chi-square", [ColumnType.Categorical])
    register_stattest(ks, run_ks)
    register_stattest(chi, run_chi_square)

    class ColumnPictures(MetricContainer):  # type: ignore[misc]  # Evidently publishes no types
        """Evidently's drift table of given columns, in a given order, with a given verdict."""

        drifted: dict[str, bool]
        p_threshold: float

        def generate_metrics(self, _context: Any) -> list[Any]:
            return []

        def render(self, context: Any, _child_widgets: Any = None) -> list[Any]:
            metric = DataDriftTable(
                columns=list(self.drifted),
                num_stattest=ks.name,
                cat_stattest=chi.name,
                stattest_threshold=self.p_threshold,
            )
            result, (_heading, table) = context.get_legacy_metric(metric, None, None)
            _make_plain(table, result.drift_by_columns, self.drifted)
            return [table]

    return SimpleNamespace(DataDefinition=DataDefinition, Dataset=Dataset, Report=Report, ColumnPictures=ColumnPictures)


def _make_plain(table: Any, results: Mapping[str, Any], drifted: Mapping[str, bool]) -> None:
    """Mend in place what misleads in Evidently's table widget.

    Its rows come in the order of falling p-values, with the verdict of a single test. The small histograms of one
    column have different bins. The first detail plots a mean by row number, though rows have no order. The second
    counts rows, though the reference has several times as many.
    """
    order = list(drifted)
    table.title = ""
    for column in table.params["columns"]:
        if column["field"] == "drift_score":
            column["title"] = "p-value"
    rows = sorted(table.params["data"], key=lambda row: order.index(row["column_name"]))
    table.params["data"] = rows
    table.params["rowsPerPage"] = len(rows)
    kept = set()
    for row in rows:
        name = row["column_name"]
        row["data_drift"] = "Drifted" if drifted[name] else "Not drifted"
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
