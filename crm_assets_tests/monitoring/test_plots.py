from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from crm_assets.modelling.plots import png
from crm_assets.monitoring.drift_columns import DRIFT, no_columns
from crm_assets.monitoring.plots import psi_by_column, psi_by_month


def columns() -> pd.DataFrame:
    rows = [("a", 0.02, False), ("b", 14.0, True), ("c", 0.3, None)]
    table = pd.DataFrame([{"column": name, "psi": psi, "drifted": drifted} for name, psi, drifted in rows])
    return table.reindex(columns=DRIFT.column_names).astype(DRIFT.pandas_types())


def months() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "snapshot_month": ["2017-06", "2017-04", "2017-05"],
            "level": ["HIGH", None, "NONE"],
            "prediction_psi": [0.5, None, 0.01],
        }
    )


def test_columns_are_drawn_largest_last_with_their_own_figures() -> None:
    (axes,) = psi_by_column(columns()).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "c", "b"]
    assert [text.get_text() for text in axes.texts] == ["0.02", "0.30", "14.00"]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.02, 0.3, 1.0])  # type: ignore[attr-defined]  # bars
    colours = [bar.get_facecolor() for bar in axes.patches]
    assert colours[0] == colours[1] != colours[2]


def test_months_are_drawn_in_order_with_their_levels() -> None:
    (axes,) = psi_by_month(months()).axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2017-04", "2017-05", "2017-06"]
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["NONE", "HIGH", "not compared"]
    drawn = {str(points.get_label()): np.asarray(points.get_offsets()).tolist() for points in axes.collections}
    assert drawn == {"NONE": [[1, 0.01]], "HIGH": [[2, 0.5]], "not compared": [[0, 0]]}


@pytest.mark.parametrize(
    "summaries", [months(), months().iloc[1:2], months().iloc[:0]], ids=["some", "none compared", "no month"]
)
def test_every_picture_can_be_saved(summaries: pd.DataFrame) -> None:
    assert png(psi_by_month(summaries)).startswith(b"\x89PNG")
    assert png(psi_by_column(columns())) == png(psi_by_column(columns()))
    assert png(psi_by_column(no_columns())).startswith(b"\x89PNG")


def test_plots_keep_away_from_pyplot() -> None:
    code = (
        "import sys; from crm_assets.modelling.plots import png; "
        "from crm_assets.monitoring import drift_columns, plots; "
        "png(plots.psi_by_column(drift_columns.no_columns())); print('matplotlib.pyplot' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
