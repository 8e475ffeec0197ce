"""Every setting, validated, from the environment or a `.env` file; nothing here touches the lake or a server."""

from __future__ import annotations

import difflib
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError

PREFIX = "CRM_"
TESTS_ONLY = frozenset({"CRM_REAL_DATA"})
"""Variables with the prefix that the tests read and the platform does not."""

SECRETS = frozenset({"CRM_ALERT_URLS"})
"""Settings whose value no message shows."""

_ALERT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

CANDIDATE_NAMES = ("blend", "cure_hazard", "lightgbm", "catboost", "random_forest", "logistic")
"""The candidate models, whose definitions are not imported here; they are in `modelling.candidates`."""

_CANDIDATES = f"{PREFIX}CANDIDATES"
_NAME_CANDIDATES = f"name one or more of {', '.join(CANDIDATE_NAMES)}, with commas in between"
_NOT_OF_TYPE = {
    "bool_parsing": "neither true nor false",
    "date_from_datetime_parsing": "no date, YYYY-MM-DD",
    "date_parsing": "no date, YYYY-MM-DD",
    "float_parsing": "no number",
    "int_from_float": "no whole number",
    "int_parsing": "no whole number",
}
"""Kind of error in Pydantic -> what is wrong with the value."""


def _month(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return Month.parse(value)
        except SettingsError as error:
            raise ValueError(str(error)) from None
    return value


MonthSetting = Annotated[
    Month,
    NoDecode,
    BeforeValidator(_month),
    PlainSerializer(str, return_type=str),
]


class Settings(BaseSettings):
    """The platform's settings; the variable of a field is its name in capitals behind `CRM_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        arbitrary_types_allowed=True,
    )

    source_url: str = Field(
        "simulator:",
        description="Source of raw tables: `simulator:`, a folder, `s3://bucket/prefix` or `kaggle:OWNER/DATASET`.",
    )
    exported_on: date | None = Field(
        None,
        description="Day one late export or field history was taken, YYYY-MM-DD; the latest date in it by default. "
        "Months that had not ended by then are left out.",
    )
    extract_days_late: int = Field(
        7,
        ge=0,
        le=20,
        description="Days after a month-end within which its extract may have been taken; what happened in them is "
        "undone.",
    )
    lake_url: str = Field("./lake", description="Where tables and reports live: a folder or `s3://bucket/prefix`.")
    dataset: str = Field(
        "",
        description="Name of the source's part of the lake, of its model and Dagster home; made from the source.",
        pattern=r"^([a-z0-9_][a-z0-9_.-]*)?$",
    )
    mlflow_tracking_uri: str = Field(
        "", description="MLflow store; a SQLite file and a folder below `CRM_HOME` by default."
    )
    home: Path = Field(
        Path("./.crm_assets"),
        description="Folder of what is neither code nor lake: MLflow's default store, Dagster's home.",
    )
    first_month: MonthSetting | None = Field(
        None, description="First monthly partition in Dagster; the simulator's own first month, or 2016-10."
    )
    last_month: MonthSetting | None = Field(
        None,
        description="Last monthly partition in Dagster; the simulator's own last month, or the last that ended.",
    )
    engine: Literal["auto", "polars", "duckdb", "spark"] = Field(
        "auto",
        description="What runs the table expressions; `auto` takes Polars, and DuckDB from `CRM_DUCKDB_FROM_ROWS` on.",
    )
    duckdb_from_rows: int = Field(
        1_000_000, ge=0, description="Opportunities in a month from which `auto` takes DuckDB."
    )
    duckdb_memory_limit: str = Field(
        "2GB", pattern=r"^\d+(\.\d+)? ?[KMGT]i?B$", description="Memory DuckDB may use before it spills to disk."
    )
    quarantine_limit: float = Field(
        0.05, ge=0, le=1, description="Share of a month's opportunities that may be quarantined before the run stops."
    )
    understood_features: str = Field(
        "",
        description="Features, with commas in between, that separate outcomes beyond the leakage gate's limit and were "
        "found honest.",
        pattern=r"^([a-z0-9_]+( *, *[a-z0-9_]+)*)?$",
    )
    min_training_wins: int = Field(
        50, ge=10, description="Matured wins (and as many non-wins) without which no model is trained."
    )
    backtest_months: int = Field(6, ge=1, description="Newest matured months that the rolling-origin backtest covers.")
    promotion_margin: float = Field(
        0.0,
        ge=0,
        le=1,
        description="What the interval of a challenger's improvement in Brier score, or else in average precision, "
        "must be above.",
    )
    calibration_limit: float = Field(
        0.05,
        ge=0,
        le=1,
        description="Wins per row of a month that a challenger may expect too many or too few; what chance can do is "
        "always allowed.",
    )
    candidates: str = Field(
        "blend,cure_hazard,lightgbm",
        description="Candidate models, with commas in between, the preferred one first: "
        f"{', '.join(f'`{name}`' for name in CANDIDATE_NAMES)}. Another than the first is taken where it did better.",
    )
    tuning_seconds: float = Field(
        0,
        ge=0,
        description="Time to tune each candidate in each month, in seconds; 0 leaves their settings as they are.",
    )
    tuning_trials: int = Field(30, ge=1, description="Most settings that are tried in tuning a candidate.")
    trees: int = Field(300, ge=10, description="Trees of the boosted candidates.")
    drift_alpha: float = Field(
        0.02,
        gt=0,
        lt=1,
        description="Chance that tests find an intake column of a month different that is not.",
    )
    drift_closings_alpha: float = Field(
        0.04,
        gt=0,
        lt=1,
        description="Chance that tests find a share won, of all closings or of a region's, different that is not.",
    )
    drift_column_psi: float = Field(
        0.02, gt=0, description="PSI from which an intake column that tests find different makes a month MEDIUM."
    )
    drift_prediction_psi: float = Field(
        0.75, gt=0, description="PSI of the scores at fixed age from which a month is MEDIUM, and HIGH from twice that."
    )
    drift_quality: float = Field(
        0.98, gt=0, le=1, description="Quality score of a month's columns below which it is MEDIUM."
    )
    drift_win_rate: float = Field(
        0.15,
        gt=0,
        lt=1,
        description="Change of the share won, relative to the expected one, from which it makes a month MEDIUM.",
    )
    drift_high_share: float = Field(
        0.75, gt=0, le=1, description="Share of the intake columns that have moved from which a month is HIGH."
    )
    retrain_cap: int = Field(
        3,
        ge=0,
        description="Most retrains that monitoring may start within `CRM_RETRAIN_CAP_DAYS`; 0 for none.",
    )
    retrain_cap_days: float = Field(365, gt=0, description="Days that `CRM_RETRAIN_CAP` is for.")
    retrain_cooldown_days: float = Field(
        45, ge=0, description="Least days between two retrains that monitoring starts."
    )
    retrain_tuning_seconds: float = Field(
        60,
        gt=0,
        description="Time to tune each candidate in each month of a retrain that monitoring starts, in seconds.",
    )
    seed: int = Field(7, ge=0, description="Seed of training and of every sample.")
    alert_urls: SecretStr | None = Field(
        None,
        description="Whom to alert: Apprise URLs, with spaces or commas in between, such as `mailto://...` or "
        "`slack://...`. They hold secrets and are never shown. Nobody is alerted unless it is set.",
    )
    alert_level: Literal["info", "warning", "error"] = Field("info", description="Lowest severity that is sent.")
    alert_repeat_hours: float = Field(
        24, gt=0, description="Hours before an alert that is seen again is sent again, unless it has become worse."
    )
    dagster_url: str = Field(
        "http://localhost:3000", description="Address of Dagster's web server, for the links in alerts."
    )

    @field_validator("source_url", "lake_url", "mlflow_tracking_uri", "dagster_url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        if "@" in urlsplit(url).netloc:
            raise ValueError("a URL must not hold credentials; set the AWS_ or MLFLOW_TRACKING_ variables instead")
        return url

    @field_validator("candidates")
    @classmethod
    def _known_candidates(cls, names: str) -> str:
        given = [part.strip() for part in names.split(",")]
        for name in given:
            if not name:
                raise ValueError(f"a name is missing: {_NAME_CANDIDATES}")
            if name not in CANDIDATE_NAMES:
                raise ValueError(f"{name!r} is no candidate model: choose among {', '.join(CANDIDATE_NAMES)}")
            if given.count(name) > 1:
                raise ValueError(f"{name} stands there {given.count(name)} times: name each candidate once")
        return names

    @field_validator("dagster_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise ValueError("write it as http://host:port")
        return url

    @field_validator("alert_urls")
    @classmethod
    def _of_known_form(cls, urls: SecretStr | None) -> SecretStr | None:
        """Look at the form alone: Apprise, which knows the services, is not loaded here."""
        parts = _urls_in(urls)
        wrong = [str(number) for number, url in enumerate(parts, 1) if not _ALERT_URL.fullmatch(url)]
        if wrong:
            raise ValueError(
                f"of {len(parts)} URLs, number {', '.join(wrong)} is none: write each as scheme://..., with spaces or "
                "commas in between"
            )
        return urls

    @field_validator("duckdb_memory_limit")
    @classmethod
    def _enough_memory(cls, limit: str) -> str:
        number, unit = re.split(r"(?<=[\d.])(?=[ KMGT])", limit, maxsplit=1)
        if float(number) * 1000 ** " KMGT".index(unit.strip()[0]) < 100e6:
            raise ValueError("DuckDB needs at least 100MB")
        return limit

    @model_validator(mode="after")
    def _months_in_order(self) -> Self:
        if self.first_month and self.last_month and self.last_month < self.first_month:
            raise ValueError(f"CRM_LAST_MONTH {self.last_month} is before CRM_FIRST_MONTH {self.first_month}")
        return self

    @property
    def understood(self) -> frozenset[str]:
        """The names in `CRM_UNDERSTOOD_FEATURES`."""
        return frozenset(name.strip() for name in self.understood_features.split(",") if name.strip())

    @property
    def candidate_names(self) -> list[str]:
        """The names in `CRM_CANDIDATES`."""
        return [name.strip() for name in self.candidates.split(",")]

    @property
    def alert_targets(self) -> list[str]:
        """The URLs in `CRM_ALERT_URLS`, each once, secrets included."""
        return list(dict.fromkeys(_urls_in(self.alert_urls)))

    @property
    def dataset_name(self) -> str:
        """`CRM_DATASET`, or a name made from the source: `simulator`, or the folder's or data set's own name."""
        return self.dataset or slug(self.source_url)

    @property
    def dataset_url(self) -> str:
        """Where this source's tables live: its own folder in the lake, so that two sources never mix."""
        return f"{self.lake_url.rstrip('/')}/{self.dataset_name}"

    @property
    def model_name(self) -> str:
        """Name of the registered model and of its experiment in MLflow."""
        return f"{self.dataset_name}_win_model"

    @property
    def dagster_home(self) -> Path:
        """Folder of Dagster's own storage: one per source, because two sources share asset names."""
        return self.home.absolute() / "dagster" / self.dataset_name

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: `CRM_MLFLOW_TRACKING_URI`, or SQLite below `CRM_HOME`."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.absolute() / 'mlflow' / 'mlflow.db'}"


def _urls_in(urls: SecretStr | None) -> list[str]:
    """What stands between spaces or commas; a comma within a URL is none of these unless another URL follows it."""
    text = urls.get_secret_value().strip(" \t\r\n,") if urls else ""
    return re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9+.-]*://)", text) if text else []


def slug(source_url: str) -> str:
    """A short name for a source: its last path part (or scheme) and its query, of `a-z`, `0-9`, `_`, `.` and `-`."""
    parts = urlsplit(source_url)
    stem = parts.path.rstrip("/").rpartition("/")[2] or parts.netloc or parts.scheme
    if stem in {"", ".", ".."}:
        stem = Path(source_url).resolve().name
    name = re.sub(r"[^a-z0-9_.]+", "-", f"{stem}-{parts.query}".lower()).strip("-.")
    return name or "source"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process: defaults, then `.env`, then the environment, then `overrides` that are not None.

    Raises SettingsError naming the variable, its value and the remedy, also for a `CRM_` variable that is no setting.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    try:
        in_file = dotenv_values(".env")
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    for place, values in (("the environment", os.environ), (".env", in_file)):
        for name, value in values.items():
            if name.upper() == _CANDIDATES and not (value or "").strip():
                # Of other settings an empty one is the default; who empties this one may mean that none is to be tried.
                raise SettingsError(f"{name} in {place} is empty: {_NAME_CANDIDATES}, or leave it out")
            if name.upper().startswith(PREFIX) and name.upper() not in known | TESTS_ONLY:
                near = difflib.get_close_matches(name.upper(), known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
                raise SettingsError(f"{name} in {place} is not a setting: {hint}")
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            name = PREFIX + str(problem["loc"][0]).upper() if problem["loc"] else "settings"
            # A refused URL may hold a secret.
            secret = "credentials" in problem["msg"] or name in SECRETS
            shown = "" if secret or not problem["loc"] else f" is {problem['input']!r}"
            if problem["type"] in _NOT_OF_TYPE:
                lines.append(f"{name}{shown}, which is {_NOT_OF_TYPE[problem['type']]}")
                continue
            lines.append(f"{name}{shown}: {problem['msg'].removeprefix('Value error, ')}")
        raise SettingsError("; ".join(lines)) from None
