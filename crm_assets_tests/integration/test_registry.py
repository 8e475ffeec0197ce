"""The registry against real MLflow stores: a SQLite file, and a server."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crm_assets.calendar import Month
from crm_assets.errors import RegistryError, SettingsError
from crm_assets.modelling import plots
from crm_assets.modelling.win_model import TrainingParameters, WinModel
from crm_assets.registry import ModelReference, Registry
from crm_assets_tests.integration.mlflow_server import mlflow_server
from crm_assets_tests.modelling.book_rows import CATEGORICAL, FEATURES, book_rows

pytestmark = [
    # MLflow's table definitions use a loader option that SQLAlchemy 2.1 has deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
    # MLflow warns itself of its own type hints while it is imported, and hides that from anyone but an error filter.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

PARAMETERS = TrainingParameters(iterations=20)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    matured = book_rows()
    return matured[matured["outcome"].notna()].reset_index(drop=True)


@pytest.fixture(scope="module")
def models(rows: pd.DataFrame) -> list[WinModel]:
    """Two that differ."""
    return [
        WinModel.fit(rows, FEATURES, CATEGORICAL, PARAMETERS),
        WinModel.fit(rows.iloc[:600], FEATURES, CATEGORICAL, PARAMETERS),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a SQLite store in folders that are not there yet, one of them with a space in its name."""
    return f"sqlite:///{tmp_path_factory.mktemp('model store') / 'new' / 'mlflow.db'}"


@pytest.fixture
def registry(store: str, request: pytest.FixtureRequest) -> Registry:
    """A registry of its own model in the shared store, whose tables take seconds to make."""
    return Registry(store, request.node.name.partition("[")[0])


def log(registry: Registry, model: WinModel, rows: pd.DataFrame, month: Month) -> ModelReference:
    return registry.log_version(
        model,
        month=month,
        parameters={**model.parameters.as_dict(), "features": len(model.features)},
        metrics={"backtest_brier": 0.09, "backtest_mean_auc": None},
        figures={"reliability": plots.reliability([0, 1], [0.2, 0.8]), "scores": plots.score_histogram([0.1])},
        example=rows,
        tags={"dataset": "made-up"},
    )


def test_a_version_is_logged_and_read_back(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    registry.check()
    name = registry.model_name
    assert registry.champion() is None
    first = log(registry, models[0], rows, Month(2017, 8))
    second = log(registry, models[1], rows, Month(2017, 9))
    assert first == ModelReference(name, "1", first.run_id, Month(2017, 8), models[0].sha256)
    assert second == ModelReference(name, "2", second.run_id, Month(2017, 9), models[1].sha256)
    for reference, model in zip((first, second), models, strict=True):
        loaded = registry.load(reference.version, reference.sha256)
        assert loaded.sha256 == model.sha256
        assert np.array_equal(loaded.predict(rows), model.predict(rows))
        assert loaded.training == model.training
    assert registry.load("1", first.sha256) is registry.load("1", first.sha256)
    assert registry.champion() is None
    assert registry.versions() == {"1": first.sha256, "2": second.sha256}


def test_the_same_model_of_the_same_month_is_logged_once(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    first = log(registry, models[0], rows, Month(2017, 8))
    assert log(registry, models[0], rows, Month(2017, 8)) == first
    assert log(registry, models[1], rows, Month(2017, 8)).version == "2"
    assert log(registry, models[0], rows, Month(2017, 9)).version == "3"
    assert len(registry.versions()) == 3


def test_another_model_under_that_version_is_refused(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    assert registry.versions() == {}
    log(registry, models[0], rows, Month(2017, 8))
    with pytest.raises(RegistryError, match=r"version 1 .* is not the model that the lake names .*CRM_MLFLOW"):
        registry.load("1", models[1].sha256)


def test_the_run_holds_parameters_metrics_plots_and_tags(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    from mlflow import MlflowClient

    reference = log(registry, models[0], rows, Month(2017, 8))
    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    run = client.get_run(reference.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {name: str(value) for name, value in PARAMETERS.as_dict().items()} | {"features": "6"}
    assert run.data.metrics == {"backtest_brier": 0.09}
    assert run.data.tags["month"] == "2017-08"
    assert run.data.tags["dataset"] == "made-up"
    assert {file.path for file in client.list_artifacts(reference.run_id, "plots")} == {
        "plots/reliability.png",
        "plots/scores.png",
    }
    version = client.get_model_version(reference.name, reference.version)
    assert version.tags == {"month": "2017-08", "sha256": models[0].sha256, "dataset": "made-up"}
    assert version.run_id == reference.run_id


def test_artifacts_stand_beside_the_database(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    log(registry, models[0], rows, Month(2017, 8))
    folder = Path(registry.tracking_uri.removeprefix("sqlite:///")).parent
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "artifacts"}
    assert list(folder.glob("artifacts/**/win_model.cbm"))


def test_the_champion_is_whoever_was_set_last(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    first = log(registry, models[0], rows, Month(2017, 8))
    second = log(registry, models[1], rows, Month(2017, 9))
    registry.set_champion(first.version)
    assert registry.champion() == first
    registry.set_champion(second.version)
    assert Registry(registry.tracking_uri, registry.model_name).champion() == second


@contextmanager
def served(registry: Registry, reference: ModelReference) -> Iterator[Any]:
    """What MLflow's own loader, which people use on the store, makes of a version."""
    import mlflow.pyfunc

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
        yield mlflow.pyfunc.load_model(f"models:/{reference.name}/{reference.version}")


def served_input(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[list(FEATURES)].astype({name: float for name in FEATURES if name not in CATEGORICAL})


def test_the_served_model_gives_the_same_probabilities(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    from mlflow.exceptions import MlflowException

    reference = log(registry, models[0], rows, Month(2017, 8))
    given = served_input(rows)
    assert given.isna().any().sum() == 2, "an empty number and an empty category must be among them"
    with served(registry, reference) as model:
        answer = model.predict(given)
        assert list(answer.columns) == ["probability"]
        assert np.array_equal(answer["probability"], models[0].predict(rows))
        assert model.predict(given.iloc[:0]).empty
        with pytest.raises(MlflowException, match="age_days"):
            model.predict(given.drop(columns="age_days"))
        with pytest.raises(MlflowException, match="list_price"):
            model.predict(given.assign(list_price="dear"))


def test_the_served_model_knows_its_input_and_its_packages(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    reference = log(registry, models[0], rows, Month(2017, 8))
    with served(registry, reference) as model:
        assert np.array_equal(model.predict(model.input_example)["probability"], models[0].predict(rows.head(5)))
        assert model.metadata.get_input_schema().input_names() == list(FEATURES)
    folder = Path(registry.tracking_uri.removeprefix("sqlite:///")).parent
    requirements = next(folder.glob("artifacts/**/requirements.txt")).read_text().split()
    assert [line.partition("==")[0] for line in requirements] == ["mlflow", "catboost", "pandas", "numpy"]


def test_the_served_model_needs_no_platform(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame, tmp_path: Path
) -> None:
    """Loaded in a process in which crm_assets cannot be imported."""
    reference = log(registry, models[0], rows, Month(2017, 8))
    uri = f"models:/{reference.name}/{reference.version}"
    served_input(rows).to_pickle(tmp_path / "given.pkl")
    code = (
        "import sys; sys.modules['crm_assets'] = None\n"
        "import mlflow, pandas as pd\n"
        f"mlflow.set_tracking_uri({registry.tracking_uri!r})\n"
        f"answer = mlflow.pyfunc.load_model({uri!r}).predict(pd.read_pickle('given.pkl'))\n"
        "answer.to_pickle('answer.pkl')\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    answer = pd.read_pickle(tmp_path / "answer.pkl")
    assert np.array_equal(answer["probability"], models[0].predict(rows))


def test_a_version_that_is_not_there_is_named(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    remedy = r"mlflow\.db: .*not found.*CRM_MLFLOW_TRACKING_URI"
    with pytest.raises(RegistryError, match=f"read version 1 of model {registry.model_name} .*{remedy}"):
        registry.load("1", "")
    log(registry, models[0], rows, Month(2017, 8))
    with pytest.raises(RegistryError, match=f"read version 7 .*{remedy}"):
        registry.load("7", "")
    with pytest.raises(RegistryError, match=f"make version 7 .*{remedy}"):
        registry.set_champion("7")
    assert registry.champion() is None


def test_artifacts_that_are_gone_are_named(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = log(registry, models[0], rows, Month(2017, 8))
    folder = Path(registry.tracking_uri.removeprefix("sqlite:///")).parent / "artifacts"
    folder.rename(folder.with_name("moved"))
    try:
        with pytest.raises(RegistryError, match=r"read version 1 .*artifacts.* materialise win_model"):
            registry.load(reference.version, reference.sha256)
    finally:
        folder.with_name("moved").rename(folder)
    assert np.array_equal(registry.load(reference.version, reference.sha256).predict(rows), models[0].predict(rows))


def test_a_champion_of_other_origin_is_refused(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    from mlflow import MlflowClient

    reference = log(registry, models[0], rows, Month(2017, 8))
    registry.set_champion(reference.version)
    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    client.set_model_version_tag(reference.name, reference.version, "month", "August")
    with pytest.raises(RegistryError, match="has no tag month that is a month"):
        registry.champion()


def test_a_failed_log_leaves_a_failed_run_and_no_version(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    from mlflow import MlflowClient

    with pytest.raises(ValueError, match="age_days"):
        log(registry, models[0], rows.drop(columns="age_days"), Month(2017, 8))
    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.model_name)
    assert experiment is not None
    assert [run.info.status for run in client.search_runs([experiment.experiment_id])] == ["FAILED"]
    assert registry.champion() is None


def test_a_deleted_experiment_is_named(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    client.delete_experiment(client.create_experiment(registry.model_name))
    with pytest.raises(RegistryError, match="was deleted: restore it"):
        log(registry, models[0], rows, Month(2017, 8))


def test_a_database_of_another_program_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER)")
        connection.commit()
    before = (tmp_path / "shop.db").read_bytes()
    with pytest.raises(RegistryError, match=r"shop\.db is not an MLflow database, it holds the tables orders"):
        Registry(f"sqlite:///{tmp_path}/shop.db", "m").check()
    assert (tmp_path / "shop.db").read_bytes() == before


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database " * 100)
    with pytest.raises(RegistryError, match=r"notes\.db: file is not a database"):
        Registry(f"sqlite:///{tmp_path}/notes.db", "m").check()
    (tmp_path / "file").write_text("")
    with pytest.raises(RegistryError, match=r"cannot open the model store .*file/mlflow\.db"):
        Registry(f"sqlite:///{tmp_path}/file/mlflow.db", "m").check()


@pytest.mark.parametrize("uri", ["./mlruns", "file:///mlruns", "postgresql://host/db", "sqlite://", "databricks", ""])
def test_other_kinds_of_store_are_refused(uri: str) -> None:
    with pytest.raises(SettingsError, match="CRM_MLFLOW_TRACKING_URI"):
        Registry(uri, "m")


def test_a_password_in_the_uri_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="holds a password") as raised:
        Registry("https://ann:hunter2@models.example", "m")
    assert "hunter2" not in str(raised.value)


def test_a_server_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # Retries only cost time here.
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(RegistryError, match=rf"{uri}: .*refused.*Check that the MLflow server runs"):
            Registry(uri, "m").check()


def test_making_a_registry_touches_nothing(tmp_path: Path) -> None:
    Registry(f"sqlite:///{tmp_path}/new/mlflow.db", "m")
    assert not list(tmp_path.iterdir())


def test_mlflow_says_nothing(store: str, models: list[WinModel], tmp_path: Path) -> None:
    models[0].save(tmp_path / "m.cbm")
    code = (
        "from pathlib import Path\n"
        "import pandas as pd\n"
        "from crm_assets.calendar import Month\n"
        "from crm_assets.modelling.win_model import WinModel\n"
        "from crm_assets.registry import Registry\n"
        f"registry = Registry({store!r}, 'quiet')\n"
        "assert registry.champion() is None\n"
        "model = WinModel.load(Path('m.cbm'))\n"
        "example = pd.DataFrame({name: ['x' if name in model.categorical else 1.0] for name in model.features})\n"
        "reference = registry.log_version(model, month=Month(2017, 8), parameters={}, metrics={}, figures={},\n"
        "    example=example, tags={})\n"
        "registry.load(reference.version, reference.sha256)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GIT_"))}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout + done.stderr == ""
    assert [path.name for path in tmp_path.iterdir()] == ["m.cbm"]


@pytest.mark.slow
def test_a_server_keeps_models_and_champion(models: list[WinModel], rows: pd.DataFrame, tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as url:
        registry = Registry(url, "served")
        registry.check()
        assert registry.champion() is None
        references = [log(registry, model, rows, Month(2017, 8 + number)) for number, model in enumerate(models)]
        registry.set_champion("2")
        assert registry.champion() == references[1]
        for reference, model in zip(references, models, strict=True):
            assert np.array_equal(registry.load(reference.version, reference.sha256).predict(rows), model.predict(rows))
        with pytest.raises(RegistryError, match=rf"{url}: .*not found"):
            registry.load("3", "")
        log(registry, models[0], rows, Month(2017, 10))
        for file in tmp_path.glob("artifacts/**/win_model.cbm"):
            file.unlink()
        with pytest.raises(RegistryError, match=r"read version 3 .*materialise win_model"):
            registry.load("3", "")
    assert list(tmp_path.glob("artifacts/**/reliability.png"))
