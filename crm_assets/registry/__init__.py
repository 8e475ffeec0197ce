"""The model registry: versions of the win model in MLflow, and which of them are champion and challenger.

The only module that knows MLflow. It goes through `MlflowClient` and not through the functions of `mlflow` itself,
which keep the tracking URI and the active run in global state and in the environment.
"""

from __future__ import annotations

import functools
import io
import json
import os
import sqlite3
import tempfile
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crm_assets.calendar import Month
from crm_assets.errors import CrmAssetsError, RegistryError, SettingsError
from crm_assets.modelling.plots import png
from crm_assets.modelling.win_model import WinModel
from crm_assets.process import process_folder

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
MONTH_TAG = "month"
SHA256_TAG = "sha256"
WITHDRAWN_TAG = "withdrawn"
"""Tag of a version that was rolled back: the month from whose end on it is not champion, a blank and the reason."""

CARD_TAG = "model_card"
"""Tag of a version: where the lake has its newest model card."""
CARD_MONTH_TAG = "model_card_month"

_DESCRIPTION_LETTERS = 4_000
_MODEL_FILE = "win_model.json"
_CODE_FILE = "crm_assets.zip"
_SETTING = "CRM_MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_SERVED_PACKAGES = ("mlflow", "narwhals", "numpy", "pandas")
_PACKAGES_OF = {"catboost": "catboost", "lightgbm": "lightgbm", "random_forest": "lightgbm", "blend": "lightgbm"}
"""Candidate -> package that it needs besides."""
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_PATIENT_RETRIES = 6
_QUIET = {
    "DO_NOT_TRACK": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_DISABLE_AGENT_HINT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    # An unreachable server is reported within seconds; MLflow's own patience is several minutes.
    _RETRIES: "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
"""Environment variables that MLflow and GitPython read on import; what the user has set stays."""
set_here: set[str] = set()
"""Those of them that this process has set, and not the user."""


@dataclass(frozen=True)
class CandidateRun:
    """How a candidate did that the month's model was chosen from.

    Attributes:
        name: of the candidate.
        parameters: name -> value.
        metrics: name -> value over the test months; None values are left out.
        tuning: what was tried to find the parameters, kept as `tuning.json`; None when they were given.
    """

    name: str
    parameters: Mapping[str, object]
    metrics: Mapping[str, float | None]
    tuning: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class ModelReference:
    """Where a registered model is.

    Attributes:
        name: of the registered model.
        version: counted by the registry from 1.
        run_id: MLflow run that logged it.
        month: the month it was trained at.
        sha256: `WinModel.sha256` of the model; empty where the version has no such tag.
    """

    name: str
    version: str
    run_id: str
    month: Month
    sha256: str


class Registry:
    """Versions of one registered model in one MLflow store. Making one touches neither disk nor network.

    Every method raises RegistryError, with the store's URI, what it said and the remedy, when the store cannot be used.

    Args:
        tracking_uri: `sqlite:////absolute/mlflow.db`, with the artifacts in `artifacts` beside the file (both are made
            on first use), or the `http(s)://` URL of an MLflow server, which keeps the artifacts.
        model_name: name of the registered model and of the experiment that holds its runs.

    Raises SettingsError when the URI is of another kind, or holds a password, which every log would then show.
    """

    def __init__(self, tracking_uri: str, model_name: str) -> None:
        self._database: Path | None = None
        if tracking_uri.startswith(_SQLITE) and len(tracking_uri) > len(_SQLITE):
            self._database = Path(tracking_uri.removeprefix(_SQLITE)).absolute()
            tracking_uri = f"{_SQLITE}{self._database}"
        elif urlsplit(tracking_uri).password is not None:
            raise SettingsError(
                f"{_SETTING} holds a password: leave it out of the URL and set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD"
            )
        elif not tracking_uri.startswith(("http://", "https://")):
            raise SettingsError(
                f"{_SETTING} is {tracking_uri}: write sqlite:////absolute/path/mlflow.db, or the http(s):// URL of an "
                "MLflow server (which may keep its data in another database)"
            )
        self.tracking_uri = tracking_uri
        self.model_name = model_name
        for name, value in _QUIET.items():
            if name not in os.environ:
                os.environ[name] = value
                set_here.add(name)

    def check(self) -> None:
        """Reach the store and read from it. The first use of a new SQLite file makes its tables, within seconds."""
        with self._failures_told("look up models"):
            self._client.search_registered_models(max_results=1)

    def log_version(
        self,
        model: WinModel,
        *,
        month: Month,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float | None],
        figures: Mapping[str, Figure],
        example: pd.DataFrame,
        tags: Mapping[str, str],
        candidates: Sequence[CandidateRun] = (),
    ) -> ModelReference:
        """Log one run and register its model as the next version, unless a version of the month is the same model.

        That version is given back then, with the tags of now, so that making a month again changes nothing.

        Args:
            model: what is logged, as a pyfunc model that returns a frame with the column `probability`.
            month: the month it was trained at.
            parameters: name -> value, of the run.
            metrics: name -> value, of the run; None values are left out.
            figures: name -> picture, kept as `plots/name.png` of the run.
            example: rows with at least the model's features; up to 5 are kept as the input example.
            tags: of the run and of the version.
            candidates: runs of their own below the run.
        """
        with self._failures_told("log a model version"):
            client, all_tags = self._client, {**tags, MONTH_TAG: str(month), SHA256_TAG: model.sha256}
            experiment = self._experiment()
            logged = self._logged(model, month)
            self._end_interrupted(experiment, month, logged)
            if logged is not None:
                for name, value in tags.items():
                    client.set_model_version_tag(self.model_name, logged.version, name, value)
                return logged
            run_id = client.create_run(experiment, run_name=str(month), tags=all_tags).info.run_id
            status = "FAILED"
            try:
                self._log_run(run_id, parameters, metrics, figures)
                self._log_candidates(run_id, experiment, month, candidates)
                version = self._register(run_id, experiment, model, example, all_tags)
                status = "FINISHED"
            finally:
                client.set_terminated(run_id, status)
        return self._reference(version)

    def describe(self, version: str, month: Month, *, summary: str, files: Mapping[str, bytes], place: str) -> None:
        """Put the model card of a month beside the version that it is of, as `model_card/` of its run.

        The summary becomes the version's description, unless a later month's card described it already.

        Args:
            version: the champion of the month.
            month: of the card.
            summary: Markdown; cut off after 4,000 letters, which every store takes.
            files: name -> content.
            place: where the lake has the card.
        """
        with self._failures_told(f"describe version {version} of model {self.model_name}"):
            client = self._client
            known = client.get_model_version(self.model_name, version)
            with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
                for name, content in files.items():
                    Path(folder, name).write_bytes(content)
                client.log_artifacts(str(known.run_id), folder, "model_card")
            if known.tags.get(CARD_MONTH_TAG, "") > str(month):
                return
            client.update_model_version(self.model_name, version, description=summary[:_DESCRIPTION_LETTERS])
            client.set_model_version_tag(self.model_name, version, CARD_TAG, place)
            client.set_model_version_tag(self.model_name, version, CARD_MONTH_TAG, str(month))

    def load(self, version: str, sha256: str) -> WinModel:
        """The model of a version: read once per process, but the store is asked each time whether it has it.

        Raises RegistryError when the store has another model under that version, as another store would.
        """
        doing = f"read version {version} of model {self.model_name}"
        with self._failures_told(doing):
            place = self._client.get_model_version_download_uri(self.model_name, version)
        with self._failures_told(doing, lost=True):
            model = _downloaded(self.tracking_uri, place)
        if model.sha256 != sha256:
            raise RegistryError(
                f"version {version} of model {self.model_name} in the model store {self.tracking_uri} is not the model "
                f"that the lake names (SHA-256 {model.sha256[:12]}, not {sha256[:12]}). {self._remedy(lost=True)}"
            )
        return model

    def versions(self) -> dict[str, str]:
        """Version -> `WinModel.sha256` of every version; none when the store does not have the model."""
        with self._failures_told("look up versions"):
            return {str(version.version): version.tags.get(SHA256_TAG, "") for version in self._versions()}

    def bear_outages(self) -> None:
        """From now on let this process wait for a server that does not answer, for about two minutes at a time.

        Retries come after 0, 4, 8, 16, 32 and 64 seconds. What the user has set in MLflow's own variables stays.
        """
        if os.environ.get(_RETRIES) == _QUIET[_RETRIES]:
            os.environ[_RETRIES] = str(_PATIENT_RETRIES)

    @property
    def is_there(self) -> bool:
        """Whether there is a store; a server is taken to be there, and a SQLite file is made on first use."""
        return self._database is None or self._database.exists()

    def _logged(self, model: WinModel, month: Month) -> ModelReference | None:
        """The version of the month that is this model, if there is one."""
        for version in self._versions():
            if (version.tags.get(MONTH_TAG), version.tags.get(SHA256_TAG)) == (str(month), model.sha256):
                return self._reference(version)
        return None

    def _end_interrupted(self, experiment: str, month: Month, logged: ModelReference | None) -> None:
        """End the runs of a month that were left going on by a process that was killed while it logged them."""
        going_on = f"attributes.status = 'RUNNING' and tags.{MONTH_TAG} = '{month}'"
        for run in self._client.search_runs([experiment], going_on):
            complete = logged is not None and logged.run_id == run.info.run_id
            self._client.set_terminated(run.info.run_id, "FINISHED" if complete else "KILLED")

    def _versions(self) -> list[ModelVersion]:
        found: list[ModelVersion] = []
        token: str | None = None
        while True:
            page = self._client.search_model_versions(f"name = '{self.model_name}'", page_token=token)
            found += page
            token = page.token
            if not token:
                return found

    def champion(self) -> ModelReference | None:
        """The version that has the alias `champion`; None when there is none yet."""
        return self._aliased(CHAMPION)

    def challenger(self) -> ModelReference | None:
        """The version that has the alias `challenger`; None when there is none."""
        return self._aliased(CHALLENGER)

    def _aliased(self, alias: str) -> ModelReference | None:
        from mlflow.exceptions import MlflowException

        with self._failures_told(f"look up the {alias}"):
            try:
                aliases = self._client.get_registered_model(self.model_name).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise
            if alias not in aliases:
                return None
            version = self._client.get_model_version(self.model_name, str(aliases[alias]))
        return self._reference(version)

    def set_champion(self, version: str) -> None:
        """Give `version` the alias `champion`, which any other version loses."""
        with self._failures_told(f"make version {version} of model {self.model_name} the champion"):
            self._client.set_registered_model_alias(self.model_name, CHAMPION, version)

    def set_challenger(self, version: str | None) -> None:
        """Give `version` the alias `challenger`, which any other version loses; nobody has it when None."""
        with self._failures_told(f"make version {version} of model {self.model_name} the challenger"):
            if version is not None:
                self._client.set_registered_model_alias(self.model_name, CHALLENGER, version)
            elif self._aliased(CHALLENGER) is not None:
                self._client.delete_registered_model_alias(self.model_name, CHALLENGER)

    def withdraw(self, version: str, month: Month, reason: str) -> None:
        """Note that `version` is champion no more from the end of `month` on."""
        with self._failures_told(f"withdraw version {version} of model {self.model_name}"):
            self._client.set_model_version_tag(self.model_name, version, WITHDRAWN_TAG, f"{month} {reason}")

    def withdrawn(self) -> dict[str, tuple[Month, str]]:
        """Version -> the month from whose end on it is champion no more, and the reason."""
        with self._failures_told("look up versions"):
            tags = {str(version.version): version.tags.get(WITHDRAWN_TAG) for version in self._versions()}
        parts = {version: tag.partition(" ") for version, tag in tags.items() if tag}
        return {version: (Month.parse(month), reason) for version, (month, _, reason) in parts.items()}

    @functools.cached_property
    def _client(self) -> MlflowClient:
        from mlflow import MlflowClient

        if self._database is not None:
            _check_database(self._database)
        return MlflowClient(tracking_uri=self.tracking_uri, registry_uri=self.tracking_uri)

    def page_of(self, run_id: str) -> str:
        """The run's page, below the address of MLflow's server."""
        return f"#/experiments/{self._experiment()}/runs/{run_id}"

    def _experiment(self) -> str:
        """Id of the experiment, which is made when it is not there."""
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(self.model_name)
        if found is None:
            artifacts = None if self._database is None else (self._database.parent / "artifacts").as_uri()
            try:
                return str(self._client.create_experiment(self.model_name, artifact_location=artifacts))
            except MlflowException as error:
                # Another process may have been quicker.
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self._client.get_experiment_by_name(self.model_name)
        if found is None or found.lifecycle_stage == "deleted":
            raise RegistryError(
                f"experiment {self.model_name} of the model store {self.tracking_uri} was deleted: restore it with "
                "`mlflow experiments restore`, or set CRM_DATASET to another name"
            )
        return str(found.experiment_id)

    def _log_run(
        self,
        run_id: str,
        parameters: Mapping[str, object],
        metrics: Mapping[str, float | None],
        figures: Mapping[str, Figure],
    ) -> None:
        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        self._client.log_batch(
            run_id,
            metrics=[Metric(name, value, now, 0) for name, value in metrics.items() if value is not None],
            params=[Param(name, str(value)) for name, value in parameters.items()],
        )
        if figures:
            with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
                for name, figure in figures.items():
                    Path(folder, f"{name}.png").write_bytes(png(figure))
                self._client.log_artifacts(run_id, folder, "plots")

    def _log_candidates(self, run_id: str, experiment: str, month: Month, candidates: Sequence[CandidateRun]) -> None:
        from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

        for candidate in candidates:
            child = self._client.create_run(
                experiment,
                run_name=f"{month} {candidate.name}",
                tags={MLFLOW_PARENT_RUN_ID: run_id, MONTH_TAG: str(month), "candidate": candidate.name},
            ).info.run_id
            self._log_run(child, candidate.parameters, candidate.metrics, {})
            if candidate.tuning is not None:
                with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
                    Path(folder, "tuning.json").write_text(json.dumps(candidate.tuning, indent=2), encoding="utf-8")
                    self._client.log_artifacts(child, folder)
            self._client.set_terminated(child, "FINISHED")

    def _register(
        self, run_id: str, experiment: str, model: WinModel, example: pd.DataFrame, tags: dict[str, str]
    ) -> ModelVersion:
        from mlflow.entities import LoggedModelOutput
        from mlflow.exceptions import MlflowException

        client = self._client
        parameters = {"candidate": model.candidate, "rung": model.rung}
        logged = client.create_logged_model(
            experiment, name="win_model", source_run_id=run_id, tags=tags, params=parameters
        )
        with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
            place = Path(folder, "model")
            _write_served(model, place, example, run_id=run_id, model_id=logged.model_id)
            client.log_model_artifacts(logged.model_id, str(place))
        client.finalize_logged_model(logged.model_id, "READY")
        client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
        try:
            client.create_registered_model(self.model_name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        return client.create_model_version(
            self.model_name, logged.artifact_location, run_id=run_id, tags=tags, model_id=logged.model_id
        )

    def _reference(self, version: ModelVersion) -> ModelReference:
        try:
            month = Month.parse(version.tags.get(MONTH_TAG, ""))
        except SettingsError as error:
            raise RegistryError(
                f"version {version.version} of model {self.model_name} in the model store {self.tracking_uri} has no "
                f"tag {MONTH_TAG} that is a month, so the platform did not log it: move the alias {CHAMPION} to a "
                "version that has one"
            ) from error
        return ModelReference(
            name=self.model_name,
            version=str(version.version),
            run_id=str(version.run_id),
            month=month,
            sha256=version.tags.get(SHA256_TAG, ""),
        )

    @contextmanager
    def _failures_told(self, doing: str, *, lost: bool = False) -> Iterator[None]:
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        # The requests library's errors are OSErrors.
        except (MlflowException, SQLAlchemyError, OSError, sqlite3.Error) as error:
            said = (str(error).strip() or type(error).__name__).splitlines()[0]
            lost = lost or (isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST")
            raise RegistryError(
                f"cannot {doing} in the model store {self.tracking_uri}: {said.rstrip('.')}. {self._remedy(lost=lost)}",
                transient=_is_locked(error) if self._database is not None else _is_away(error),
            ) from error

    def _remedy(self, *, lost: bool) -> str:
        if lost:
            return f"Set {_SETTING} to the store that has it, or materialise win_model and what follows it again."
        if self._database is not None:
            return f"Check that {self._database} and its folder can be written, or set {_SETTING} to another store."
        return f"Check that the MLflow server runs and allows this host, or set {_SETTING} to another store."


class ReadOnlyRegistry(Registry):
    """A registry that logs nothing and moves no alias: what it is asked to log it looks up."""

    def log_version(self, model: WinModel, *, month: Month, **_: object) -> ModelReference:
        """The version of the month that is this model; version `not registered` when there is none."""
        with self._failures_told("look up versions"):
            found = self._logged(model, month)
        return found or ModelReference(self.model_name, "not registered", "", month, model.sha256)

    def describe(self, version: str, month: Month, **_: object) -> None:
        """Nothing: the version stays as it is described."""

    def set_champion(self, version: str) -> None:
        """Nothing: the alias stays."""

    def set_challenger(self, version: str | None) -> None:
        """Nothing: the alias stays."""


def _is_locked(error: Exception) -> bool:
    """Whether another process held the SQLite file for longer than MLflow waits."""
    return "database is locked" in str(error)


def _is_away(error: Exception) -> bool:
    """Whether a server did not answer, was too busy, or failed."""
    from mlflow.exceptions import MlflowException
    from requests import RequestException

    status: int | None = None
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()  # type: ignore[no-untyped-call]  # MLflow's
    elif isinstance(error, RequestException):
        status = 503 if error.response is None else error.response.status_code
    return isinstance(error, ConnectionError | TimeoutError) if status is None else status >= 500 or status == 429


def _check_database(path: Path) -> None:
    """Raise RegistryError when MLflow should not touch the file, and make its folder when there is none.

    MLflow itself adds its tables to any database, and tries ten times, over more than a minute, to open what is none.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=20)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (OSError, sqlite3.Error) as error:
        raise RegistryError(
            f"cannot open the model store {path}: {error}. Mend or remove the file, or set {_SETTING} to another store."
        ) from error
    if tables and "experiments" not in tables:
        shown = ", ".join(sorted(tables)[:5])
        raise RegistryError(
            f"{path} is not an MLflow database, it holds the tables {shown}: set {_SETTING} to another file"
        )


def _write_served(model: WinModel, place: Path, example: pd.DataFrame, *, run_id: str, model_id: str) -> None:
    """Write the model as a models-from-code pyfunc folder, with the package's own code beside it."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    inputs = Schema(
        [ColSpec(DataType.string if name in model.categorical else DataType.double, name) for name in model.features]
    )
    packages = [*_SERVED_PACKAGES, *([_PACKAGES_OF[model.candidate]] if model.candidate in _PACKAGES_OF else [])]
    with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
        file, code = Path(folder, _MODEL_FILE), Path(folder, _CODE_FILE)
        model.save(file)
        code.write_bytes(_package_code())
        mlflow.pyfunc.save_model(
            place,
            mlflow_model=Model(run_id=run_id, model_id=model_id),
            python_model=str(Path(__file__).with_name("served_model.py")),
            artifacts={"win_model": str(file), "code": str(code)},
            signature=ModelSignature(inputs=inputs, outputs=Schema([ColSpec(DataType.double, "probability")])),
            input_example=model.prepare(example.head(5)).reset_index(drop=True),
            pip_requirements=[f"{package}=={installed_version(package)}" for package in packages],
        )


@functools.cache
def _package_code() -> bytes:
    """A zip archive of this package's source, from which Python can import it."""
    package = Path(__file__).parents[1]
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(package.rglob("*.py")):
            archive.writestr(zipfile.ZipInfo(file.relative_to(package.parent).as_posix()), file.read_bytes())
    return content.getvalue()


@functools.lru_cache(maxsize=16)
def _downloaded(tracking_uri: str, place: str) -> WinModel:
    """The model in the artifact folder `place`, whose name holds a random id, so that its content never changes."""
    import mlflow.artifacts

    with tempfile.TemporaryDirectory(dir=process_folder()) as folder:
        file = mlflow.artifacts.download_artifacts(
            artifact_uri=f"{place}/artifacts/{_MODEL_FILE}", dst_path=folder, tracking_uri=tracking_uri
        )
        try:
            return WinModel.load(Path(file))
        except CrmAssetsError as error:
            raise RegistryError(f"the model at {place} cannot be used: {error}") from error
