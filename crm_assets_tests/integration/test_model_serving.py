"""`mlflow models serve` on the champion, for real, against what the platform's own scoring says of the same book."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest

from crm_assets.calendar import Month
from crm_assets.defs.scoring import scored_in_batches
from crm_assets.modelling.win_model import WinModel
from crm_assets.registry import Registry
from crm_assets_tests.integration.model_server import model_server
from crm_assets_tests.integration.test_registry import (  # noqa: F401 - fixtures
    log,
    models,
    origin,
    registry,
    rows,
    store,
)

JSON = {"Content-Type": "application/json"}


def asked(address: str, content: Any) -> httpx.Response:
    return httpx.post(f"{address}/invocations", json=content, timeout=60)


@pytest.mark.slow
def test_the_served_champion_gives_the_platforms_scores(
    registry: Registry,  # noqa: F811 - the fixture
    models: list[WinModel],  # noqa: F811 - the fixture
    rows: pd.DataFrame,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    champion = models[0]
    registry.set_champion(log(registry, champion, rows, Month(2017, 8)).version)
    book = pl.from_pandas(rows[list(champion.features)])
    scored, expected = scored_in_batches(champion, book)
    names = list(champion.features)
    given: dict[str, Any] = {"columns": names, "data": book.with_columns(pl.col("as_of").cast(pl.String())).rows()}
    with model_server(registry.tracking_uri, registry.model_name, tmp_path) as address:
        answer = asked(address, {"dataframe_split": given})
        assert answer.status_code == 200, answer.text
        served = [row["probability"] for row in answer.json()["predictions"]]
        assert np.allclose(served, scored["probability"], rtol=0, atol=1e-12)
        assert len(served) == len(expected) > 100
        one = dict(zip(names, given["data"][0], strict=True))
        alone = asked(address, {"dataframe_records": [{**one, "not_a_feature": 1}]}).json()["predictions"]
        assert alone == [{"probability": pytest.approx(served[0], abs=1e-12)}]
        (example,) = (Path(registry.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts").glob(
            "**/serving_input_example.json"
        )
        of_example = httpx.post(f"{address}/invocations", content=example.read_bytes(), headers=JSON, timeout=60).json()
        assert np.allclose([row["probability"] for row in of_example["predictions"]], expected[:5], rtol=0, atol=1e-12)
        lacking = asked(address, {"dataframe_records": [{name: one[name] for name in names if name != "age_days"}]})
        assert lacking.status_code == 400
        assert "age_days" in lacking.text
        wrong = asked(address, {"dataframe_records": [{**one, "age_days": "old"}]})
        assert wrong.status_code == 400
        assert "age_days" in wrong.text
