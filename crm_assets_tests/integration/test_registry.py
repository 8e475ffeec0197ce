"""The registry against real MLflow stores: a SQLite file, and a server."""

from __future__ import annotations

import os
import socket
import sqlite3
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import crm_assets
from crm_assets.calendar import Month
from crm_assets.defs.training import model_of
from crm_assets.errors import RegistryError, SettingsError
from crm_assets.leakage.worlds import World
from crm_assets.modelling import plots
from crm_assets.modelling.backtest import RollingOrigin
from crm_assets.modelling.candidate import Candidate
from crm_assets.modelling.candidates import blend_of
from crm_assets.modelling.cold_start import best_rung
from crm_assets.modelling.lightgbm_boosting import LightGBM
from crm_assets.modelling.logistic import Logistic
from crm_assets.modelling.win_model import WinModel
from crm_assets.registry import CandidateRun, ModelReference, ReadOnlyRegistry, Registry
from crm_assets.simulator import SimulationConfig, simulate
from crm_assets_tests.integration.mlflow_server import mlflow_server
from crm_assets_tests.leakage.planted import SHORT_HAZARD
from crm_assets_tests.leakage.rows import history_and_outcomes

pytestmark = [
    # MLflow's table definitions use a loader option that SQLAlchemy 2.1 has deprecated.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
    # MLflow warns itself of its own type hints while it is imported, and hides that from anyone but an error filter.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType:UserWarning"),
]

CONFIG = SimulationConfig(opportunities=900, last=Month(2017, 5), seed=3)
CANDIDATES: list[Candidate] = [blend_of(SHORT_HAZARD, LightGBM(iterations=20)), SHORT_HAZARD, Logistic()]
PARAMETERS = {"candidate": "blend", "trees": 20}


@pytest.fixture(scope="module")
def origin() -> RollingOrigin:
    """The training over a small simulated CRM."""
    simulation = simulate(CONFIG)
    worlds = [World(simulation.tables(month), month, None, 7) for month in CONFIG.months]
    return RollingOrigin(history_and_outcomes(worlds)[0], CANDIDATES, min_wins=10)


@pytest.fixture(scope="module")
def rows(origin: RollingOrigin) -> pd.DataFrame:
    return origin.training_rows(CONFIG.last).reset_index(drop=True)


@pytest.fixture(scope="module")
def models(origin: RollingOrigin, rows: pd.DataFrame) -> list[WinModel]:
    """A blend, a logistic regression, and what is served while there is no model."""
    rung = best_rung(rows, 3)
    assert rung is not None
    return [
        model_of(origin, CONFIG.last.previous, "blend"),
        model_of(origin, CONFIG.last, "logistic"),
        WinModel.of(rung, origin.known(CONFIG.last), None, contract="c"),
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """URI of a SQLite store in folders that are not there yet, one of them with a space in its name."""
    return f"sqlite:///{tmp_path_factory.mktemp('model store') / 'new' / 'mlflow.db'}"


@pytest.fixture
def registry(store: str, request: pytest.FixtureRequest) -> Registry:
    """A registry of its own model in the shared store, whose tables take seconds to make."""
    return Registry(store, request.node.name.partition("[")[0])


def log(
    registry: Registry,
    model: WinModel,
    rows: pd.DataFrame,
    month: Month,
    candidates: Sequence[CandidateRun] = (),
) -> ModelReference:
    return registry.log_version(
        model,
        month=month,
        parameters=PARAMETERS,
        metrics={"backtest_brier": 0.09, "backtest_mean_auc": None},
        figures={"reliability": plots.reliability([0, 1], [0.2, 0.8]), "scores": plots.score_histogram([0.1])},
        example=rows,
        tags={"dataset": "made-up"},
        candidates=candidates,
    )


def test_a_version_is_logged_and_read_back(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    registry.check()
    name = registry.model_name
    assert registry.champion() is None
    first = log(registry, models[0], rows, Month(2017, 8))
    second = log(registry, models[1], rows, Month(2017, 9))
    assert first == ModelReference(name, "1", first.run_id, Month(2017, 8), models[0].sha256)
    assert second == ModelReference(name, "2", second.run_id, Month(2017, 9), models[1].sha256)
    for reference, model in zip((first, second), models[:2], strict=True):
        loaded = registry.load(reference.version, reference.sha256)
        assert loaded.sha256 == model.sha256
        assert np.array_equal(loaded.predict(rows), model.predict(rows))
        assert loaded.fates(rows).equals(model.fates(rows))
        assert loaded.training == model.training
        assert loaded.contract == model.contract
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
    assert run.data.params == {"candidate": "blend", "trees": "20"}
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
    assert list(folder.glob("artifacts/**/win_model.json"))


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


def served_input(model: WinModel, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows as a client sends them: texts, dates as texts too, and floats; an empty one of each among them."""
    features = rows[list(model.features)]
    texts = {name: features[name].astype(str).astype(object) for name in model.categorical}
    numbers = {name: features[name].astype(float) for name in model.features if name not in texts}
    given = pd.DataFrame({name: (texts | numbers)[name] for name in model.features})
    if "sales_agent" in texts:
        given.loc[0, "sales_agent"] = None
        given.loc[1, "engage_fortnight"] = np.nan
    return given


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_served_model_gives_the_same_probabilities(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame, which: int
) -> None:
    from mlflow.exceptions import MlflowException

    logged = models[which]
    reference = log(registry, logged, rows, Month(2017, 8))
    given = served_input(logged, rows)
    with served(registry, reference) as model:
        answer = model.predict(given)
        assert list(answer.columns) == ["probability"]
        assert np.array_equal(answer["probability"], logged.predict(given))
        assert np.array_equal(answer["probability"][2:], logged.predict(rows)[2:])
        assert model.predict(given.iloc[:0]).empty
        with pytest.raises(MlflowException, match="age_days"):
            model.predict(given.drop(columns="age_days"))
        with pytest.raises(MlflowException, match="age_days"):
            model.predict(given.assign(age_days="old"))


def test_the_served_model_knows_its_input_and_its_packages(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    packages = ["mlflow", "narwhals", "numpy", "pandas"]
    for logged, more in zip(models, (["lightgbm"], [], []), strict=True):
        reference = log(registry, logged, rows, Month(2017, 8))
        with served(registry, reference) as model:
            example = logged.predict(rows.head(5))
            assert np.array_equal(model.predict(model.input_example)["probability"], example)
            assert model.metadata.get_input_schema().input_names() == list(logged.features)
        assert list(required(registry, reference)) == [*packages, *more]


def required(registry: Registry, reference: ModelReference) -> dict[str, str]:
    """Package -> version that a served version asks for."""
    import mlflow.artifacts
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    place = client.get_model_version_download_uri(reference.name, reference.version)
    text = mlflow.artifacts.load_text(f"{place}/requirements.txt")
    return dict(line.split("==") for line in text.split())


ELSEWHERE = """
import importlib.util, json, re, sys
from importlib.metadata import packages_distributions, requires

sys.path.append({site!r})
assert importlib.util.find_spec("crm_assets") is None

def named(requirement):
    return re.match("[A-Za-z0-9._-]+", requirement).group().lower().replace("_", "-")

closure, ahead = set(), list({packages!r})
while ahead:
    package = ahead.pop()
    if package not in closure:
        closure.add(package)
        try:
            needed = requires(package) or []
        except ModuleNotFoundError:
            continue
        ahead += [named(one) for one in needed if "extra ==" not in one]

class Closed:
    # Only what the requirements bring along is installed there.
    installed = {{
        module: {{name.lower().replace("_", "-") for name in names}}
        for module, names in packages_distributions().items()
    }}

    def find_spec(self, name, path=None, target=None):
        by = self.installed.get(name)
        if by is not None and not by & closure:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Closed())
assert all(name in Closed.installed for name in ("polars", "catboost", "dagster"))
import mlflow, pandas as pd

mlflow.set_tracking_uri({store!r})
answer = mlflow.pyfunc.load_model({uri!r}).predict(pd.read_pickle("given.pkl"))
answer.to_pickle("answer.pkl")
import crm_assets
print(crm_assets.__file__)
"""
"""Run without site, so without the editable installation of the package, and without what its environment says."""


@pytest.mark.parametrize("which", [0, 1, 2])
def test_the_served_model_needs_no_platform(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame, tmp_path: Path, which: int
) -> None:
    """Loaded in a process that has the packages it requires and not this one."""
    model = models[which]
    reference = log(registry, model, rows, Month(2017, 8))
    served_input(model, rows).to_pickle(tmp_path / "given.pkl")
    code = ELSEWHERE.format(
        site=sysconfig.get_path("purelib"),
        packages=list(required(registry, reference)),
        store=registry.tracking_uri,
        uri=f"models:/{reference.name}/{reference.version}",
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert f"crm_assets.zip{os.sep}crm_assets" in done.stdout
    answer = pd.read_pickle(tmp_path / "answer.pkl")
    assert np.array_equal(answer["probability"], model.predict(served_input(model, rows)))


def test_candidates_are_runs_below_the_run(registry: Registry, models: list[WinModel], rows: pd.DataFrame) -> None:
    from mlflow import MlflowClient

    candidates = [
        CandidateRun("blend", {"weight": 0.7}, {"backtest_brier": 0.09, "backtest_auc": None}),
        CandidateRun("logistic", {"l2": 1.0}, {"backtest_brier": 0.11}),
    ]
    reference = log(registry, models[0], rows, Month(2017, 8), candidates)
    client = MlflowClient(tracking_uri=registry.tracking_uri, registry_uri=registry.tracking_uri)
    experiment = client.get_experiment_by_name(registry.model_name)
    assert experiment is not None
    below = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{reference.run_id}'")
    assert {run.data.tags["candidate"]: (run.data.params, run.data.metrics) for run in below} == {
        "blend": ({"weight": "0.7"}, {"backtest_brier": 0.09}),
        "logistic": ({"l2": "1.0"}, {"backtest_brier": 0.11}),
    }
    assert {(run.info.status, run.data.tags["month"]) for run in below} == {("FINISHED", "2017-08")}


def test_the_challenger_is_whoever_was_set_last_or_nobody(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    registry.set_challenger(None)
    assert registry.challenger() is None
    first, second = (log(registry, model, rows, Month(2017, 8)) for model in models[:2])
    registry.set_champion(first.version)
    registry.set_challenger(second.version)
    assert (registry.champion(), registry.challenger()) == (first, second)
    reader = ReadOnlyRegistry(registry.tracking_uri, registry.model_name)
    reader.set_challenger(first.version)
    reader.set_champion(second.version)
    assert (registry.champion(), registry.challenger()) == (first, second)
    registry.set_challenger(None)
    assert (registry.champion(), registry.challenger()) == (first, None)
    with pytest.raises(RegistryError, match=r"make version 7 .* the challenger"):
        registry.set_challenger("7")


def test_a_version_that_is_withdrawn_keeps_month_and_reason(
    registry: Registry, models: list[WinModel], rows: pd.DataFrame
) -> None:
    assert registry.withdrawn() == {}
    log(registry, models[0], rows, Month(2017, 8))
    log(registry, models[1], rows, Month(2017, 9))
    registry.withdraw("1", Month(2017, 9), "it scored the wrong currency, see 2017-08")
    again = Registry(registry.tracking_uri, registry.model_name)
    assert again.withdrawn() == {"1": (Month(2017, 9), "it scored the wrong currency, see 2017-08")}
    assert log(again, models[0], rows, Month(2017, 8)).version == "1"
    assert set(again.withdrawn()) == {"1"}, "made again, it stays withdrawn"
    with pytest.raises(RegistryError, match="withdraw version 7 "):
        registry.withdraw("7", Month(2017, 9), "no such version")


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
        with pytest.raises(RegistryError, match=rf"{uri}: .*refused.*Check that the MLflow server runs") as caught:
            Registry(uri, "m").check()
    assert caught.value.transient


def test_making_a_registry_touches_nothing(tmp_path: Path) -> None:
    Registry(f"sqlite:///{tmp_path}/new/mlflow.db", "m")
    assert not list(tmp_path.iterdir())


def test_mlflow_says_nothing(store: str, models: list[WinModel], tmp_path: Path) -> None:
    models[0].save(tmp_path / "m.json")
    code = (
        "from pathlib import Path\n"
        "import pandas as pd\n"
        "from crm_assets.calendar import Month\n"
        "from crm_assets.modelling.win_model import WinModel\n"
        "from crm_assets.registry import Registry\n"
        f"registry = Registry({store!r}, 'quiet')\n"
        "assert registry.champion() is None\n"
        "model = WinModel.load(Path('m.json'))\n"
        "example = pd.DataFrame({name: ['x' if name in model.categorical else 1.0] for name in model.features})\n"
        "example['as_of'] = '2017-08-31'\n"
        "reference = registry.log_version(model, month=Month(2017, 8), parameters={}, metrics={}, figures={},\n"
        "    example=example, tags={})\n"
        "registry.load(reference.version, reference.sha256)\n"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "GIT_"))}
    environment["PYTHONPATH"] = str(Path(crm_assets.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m.json"]


@pytest.mark.slow
def test_a_server_keeps_models_and_champion(models: list[WinModel], rows: pd.DataFrame, tmp_path: Path) -> None:
    with mlflow_server(tmp_path) as url:
        registry = Registry(url, "served")
        registry.check()
        assert registry.champion() is None
        references = [log(registry, model, rows, Month(2017, 8 + number)) for number, model in enumerate(models[:2])]
        registry.set_champion("2")
        assert registry.champion() == references[1]
        for reference, model in zip(references, models[:2], strict=True):
            assert np.array_equal(registry.load(reference.version, reference.sha256).predict(rows), model.predict(rows))
        with pytest.raises(RegistryError, match=rf"{url}: .*not found"):
            registry.load("3", "")
        log(registry, models[0], rows, Month(2017, 10))
        for file in tmp_path.glob("artifacts/**/win_model.json"):
            file.unlink()
        with pytest.raises(RegistryError, match=r"read version 3 .*materialise win_model"):
            registry.load("3", "")
    assert list(tmp_path.glob("artifacts/**/reliability.png"))
