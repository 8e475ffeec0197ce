"""Every setting, validated, from the environment, a `.env` file or a profile; nothing here touches a lake or server."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values
from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from crm_assets.calendar import Month
from crm_assets.errors import SettingsError
from crm_assets.profiles import PROFILES, Profile, read_profile

PREFIX = "CRM_"
TESTS_ONLY = frozenset({"CRM_REAL_DATA"})
"""Variables with the prefix that the tests read and the platform does not."""

SECRETS = frozenset(
    {
        "CRM_ALERT_URLS",
        "CRM_API_KEYS",
        "CRM_APP_COOKIE_SECRET",
        "CRM_APP_OIDC_CLIENT_SECRET",
        "CRM_DAGSTER_POSTGRES_URL",
        "CRM_WRITEBACK_SECRET",
    }
)
"""Settings whose value no message shows, and that no profile may hold."""

ENVIRONMENT, ENV_FILE, DEFAULT, COMMAND_LINE = "environment", ".env", "default", "command line"
"""Where the value of a setting comes from; a profile is the other place."""

_SECRET_KEY = re.compile(
    r"pass(word|wd|phrase)|pwd|secret|token|credential|(?<!ssl)key$|(^|[^a-z])(sas|sig|signature|auth)$", re.IGNORECASE
)
"""Keys in a URL's query whose values are secrets; `sslkey` names a file."""

_ALERT_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://\S+")

CANDIDATE_NAMES = ("blend", "cure_hazard", "lightgbm", "catboost", "random_forest", "logistic")
"""The candidate models, whose definitions are not imported here; they are in `modelling.candidates`."""

_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_ECS_NEEDS = {
    "ecs_task_definition": "the family or ARN of the task definition",
    "ecs_cluster": "the name or ARN of the cluster",
    "ecs_subnets": "the subnets' ids",
    "ecs_security_groups": "the security groups' ids",
}
_EMR_NEEDS = {"emr_application_id": "the application's id", "emr_role_arn": "the ARN of the job's role"}
"""Setting that a choice needs -> what it is."""
_LOCAL_DAGSTER = "http://localhost:3000"
_POSTGRES_SCHEME = "postgresql+psycopg2"
_TARGET_SCHEMES = ("s3", _POSTGRES_SCHEME, "https", "salesforce", "hubspot")
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


def _secret_key(query: str) -> str | None:
    """What in a key of a URL's query says that its value is a secret; None where nothing does."""
    for part in re.split("[&;]", query):
        if found := _SECRET_KEY.search(unquote(part.partition("=")[0]).strip()):
            return found[0]
    return None


def is_here(host: str | None) -> bool:
    """Whether a host name is this machine's own."""
    return host in {"127.0.0.1", "localhost", "::1"}


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

    profile: str = Field(
        PROFILES[0],
        description=f"Settings for one kind of deployment: {', '.join(f'`{name}`' for name in PROFILES)}, or the path "
        "of a YAML file. The environment and `.env` win over it.",
    )
    require_services: bool = Field(
        False,
        description="Whether nothing may be local: without a source, a lake on S3, an MLflow server and PostgreSQL for "
        "Dagster nothing starts.",
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
    wait_seconds: int = Field(
        600, ge=0, description="Seconds a run waits for another one that writes to the same part of the lake."
    )
    mlflow_tracking_uri: str = Field(
        "", description="MLflow store; a SQLite file and a folder below `CRM_HOME` by default."
    )
    mlflow_url: str = Field(
        "",
        description="Address of MLflow's pages for people, for the links in Dagster; that of the tracking server by "
        "default.",
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
    writeback_url: str = Field(
        "",
        description="Where scores are [written back](writeback.md) to: a folder or `s3://bucket/prefix` for a CSV "
        "file, `postgresql+psycopg2://host/database`, `https://host/path`, `salesforce://...` or `hubspot://...`. "
        "Nowhere unless it is set.",
    )
    writeback_secret: SecretStr | None = Field(
        None,
        description="What the target of `CRM_WRITEBACK_URL` lets us in by: a token, `user:password` or "
        "`CLIENT_ID:CLIENT_SECRET`. It is never shown.",
    )
    dagster_url: str = Field(_LOCAL_DAGSTER, description="Address of Dagster's web server, for the links in alerts.")
    dagster_postgres_url: SecretStr | None = Field(
        None,
        description="PostgreSQL database of Dagster's runs and events, "
        "`postgresql+psycopg2://user:password@host/name`; SQLite files in Dagster's home by default. It holds a secret "
        "and is never shown.",
    )
    dagster_runs_at_once: int = Field(2, ge=1, description="Runs that Dagster's queue lets go on at once.")
    dagster_run_hours: float = Field(
        6,
        gt=0,
        description="Hours after which Dagster's daemon takes a run for dead and ends it.",
    )
    dagster_run_launcher: Literal["process", "ecs"] = Field(
        "process",
        description="What a run is: a `process` of the code location, or with `ecs` a [Fargate task](grow.md#runs-on-"
        "fargate) of its own.",
    )
    ecs_task_definition: str = Field(
        "", description="Family or ARN of the ECS task definition that runs are started from; its container is `run`."
    )
    ecs_cluster: str = Field("", description="Name or ARN of the ECS cluster that runs are tasks of.")
    ecs_subnets: str = Field("", description="Subnets of such tasks, with commas in between.")
    ecs_security_groups: str = Field("", description="Security groups of such tasks, with commas in between.")
    ecs_public_ip: bool = Field(
        False, description="Whether such tasks get a public address, as in subnets without a NAT gateway."
    )
    ecs_run_spot: bool = Field(
        False,
        description="Whether such tasks run on Fargate Spot: cheaper, and some are stopped and started once more.",
    )
    features_on: Literal["engine", "emr-serverless"] = Field(
        "engine",
        description="Where `opportunity_features` is computed: on the `engine` of the run, or as a [Spark job](grow.md#"
        "features-on-spark) on EMR Serverless.",
    )
    emr_application_id: str = Field("", description="Id of the EMR Serverless application, of type Spark.")
    emr_role_arn: str = Field("", description="ARN of the role that the job has.")
    emr_entry_point: str = Field(
        "local:///opt/crm/feature_job.py",
        description="What the job runs: a file in the application's image, or `s3://bucket/file.py`.",
    )
    emr_python: str = Field(
        "/opt/crm/python/bin/python",
        description="Python in the application's image that has this package.",
        pattern=r"^/\S+$",
    )
    emr_spark_parameters: str = Field(
        "", description="Further parameters of `spark-submit`, such as `--conf spark.executor.memory=8g`."
    )
    emr_minutes: int = Field(60, ge=5, description="Minutes after which EMR Serverless ends the job.")

    api_host: str = Field("127.0.0.1", description="Address the API listens on; `0.0.0.0` for every one.")
    api_port: int = Field(8000, ge=1, le=65535, description="Port the API listens on.")
    api_workers: int = Field(1, ge=1, le=64, description="Processes that answer; one for each core is most.")
    api_month: MonthSetting | None = Field(
        None,
        description="Month-end the API answers as of, YYYY-MM, with the champion as of then; by default the newest, "
        "with the champion of now.",
    )
    api_look_seconds: float = Field(
        20, gt=0, le=3600, description="Seconds after which the API looks again for a champion and a newer month."
    )
    api_shadow: bool = Field(False, description="Whether the API scores with the challenger as well and tells both.")
    api_unknown: Literal["refuse", "overall"] = Field(
        "refuse",
        description="What the API does with an agent or product that the CRM does not know: `refuse`, or `overall` to "
        "take it as average and say so.",
    )
    api_prediction_log: bool = Field(
        True, description="Whether the API writes what it scored to the lake, as `prediction_log`."
    )
    api_batch_limit: int = Field(1_000, ge=1, le=100_000, description="Most opportunities in one request to the API.")
    api_body_bytes: int = Field(1_000_000, ge=1_000, description="Longest body of a request to the API.")
    api_body_seconds: float = Field(
        10,
        gt=0,
        description="Seconds in which the headers of a request, and then its body, must have arrived at the API.",
    )
    api_connections: int = Field(
        800,
        ge=2,
        description="Connections to a process of the API from which it answers 503; fewer than the files it may open.",
    )
    api_anonymous: bool = Field(
        False,
        description="Whether the API, under the profile `local` and without keys, may listen where other machines "
        "reach it, so that anybody there may ask.",
    )
    api_keys: SecretStr | None = Field(
        None,
        description="Who may ask the API: `name:scopes:sha256`, with spaces in between, as `crm-assets api-key` prints "
        "them. Scopes are `read`, `score` and `operate`, several with + in between.",
    )
    api_keys_file: Path | None = Field(
        None, description="File of such entries, one a line; read again when it changes, without a restart."
    )
    api_oidc_issuer: str = Field(
        "", description="Issuer of OpenID Connect tokens that the API takes as bearer tokens; none by default."
    )
    api_oidc_audience: str = Field("", description="Audience that such a token must be for.")
    api_oidc_jwks_url: str = Field("", description="Where the issuer's keys are; asked of the issuer by default.")
    api_requests_per_second: float = Field(
        500, ge=0, description="Requests a second that the API takes of each key, or without one; 0 for any number."
    )
    api_refusals_per_second: float = Field(
        10,
        ge=0,
        description="Requests a second without a key or token that holds that the API answers with 401 for each "
        "address; more get 429. 0 for any number.",
    )

    api_dagster_url: str = Field(
        "",
        description="Address at which the API reaches Dagster's web server for `/v1/operations`; `CRM_DAGSTER_URL`, "
        "which is for people's links, by default.",
    )

    app_host: str = Field("127.0.0.1", description="Address the page listens on; `0.0.0.0` for every one.")
    app_port: int = Field(8501, ge=1, le=65535, description="Port the page listens on.")
    app_api_url: str = Field("", description="Address of the API that the page asks; by default this machine's.")
    app_url: str = Field("", description="Address at which people reach the page, to which they come back signed in.")
    app_oidc_client_id: str = Field(
        "", description="Client id of the page at `CRM_API_OIDC_ISSUER`; with it, people sign in there."
    )
    app_oidc_client_secret: SecretStr | None = Field(None, description="The secret of that client. It is never shown.")
    app_oidc_scopes: str = Field(
        "openid email profile",
        description="Scopes that the page asks of the issuer, with spaces in between: those that make its access token "
        "one for the API.",
    )
    app_cookie_secret: SecretStr | None = Field(
        None, description="What the page signs the cookie of a sign-in with: long and random. It is never shown."
    )
    risk_low_from: float = Field(
        0.7, gt=0, lt=1, description="Probability of a win by the end of next month from which a deal is at low risk."
    )
    risk_high_below: float = Field(
        0.4, gt=0, lt=1, description="Such a probability below which a deal is at high risk; medium in between."
    )
    abandoned_from: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Probability that nobody works on a deal any more and it never closes from which it counts as "
        "abandoned.",
    )
    next_steps_file: Path | None = Field(
        None,
        description="YAML file of the rules from which the page recommends the next step for a deal; those in "
        "`crm_assets/app/next_steps.yaml` by default.",
    )

    @field_validator("source_url", "lake_url", "mlflow_tracking_uri", "mlflow_url", "dagster_url", "api_dagster_url")
    @classmethod
    def _without_credentials(cls, url: str) -> str:
        parts = urlsplit(url)
        if "@" in parts.netloc:
            raise ValueError("a URL must not hold credentials; set the AWS_ or MLFLOW_TRACKING_ variables instead")
        # Databases take them from the query, too.
        if found := _secret_key(parts.query):
            raise ValueError(
                f"a URL must not hold credentials, and its query has a {found!r}; set the AWS_ or "
                "MLFLOW_TRACKING_ variables instead, PGPASSFILE for a PostgreSQL database"
            )
        return url

    @field_validator("writeback_url")
    @classmethod
    def _known_target(cls, url: str) -> str:
        if "://" not in url:
            return url
        parts = urlsplit(url)
        if "@" in parts.netloc or _secret_key(parts.query):
            raise ValueError("a URL must not hold credentials; set CRM_WRITEBACK_SECRET, or the AWS_ variables for S3")
        schemes = (*_TARGET_SCHEMES, *(["http"] if is_here(parts.hostname) else []))
        if parts.scheme not in schemes or not parts.netloc:
            raise ValueError(
                f"write a folder, or a URL that begins with {', '.join(f'{one}://' for one in _TARGET_SCHEMES)}"
            )
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

    @field_validator("dagster_url", "mlflow_url", "api_dagster_url")
    @classmethod
    def _web_address(cls, url: str) -> str:
        if url and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
            raise ValueError("write it as http://host:port")
        return url

    @field_validator("dagster_postgres_url")
    @classmethod
    def _database_address(cls, secret: SecretStr | None) -> SecretStr | None:
        url = secret.get_secret_value().strip() if secret else ""
        if not url:
            return None
        try:
            parts = urlsplit(url)
            whole = bool(parts.hostname or "host=" in parts.query) and bool(parts.path.strip("/"))
            # A port that is no number is an error of its own.
            whole = whole and parts.port != 0
        except ValueError:
            whole, parts = False, urlsplit("")
        if parts.scheme != _POSTGRES_SCHEME or not whole:
            raise ValueError(
                f"write it as {_POSTGRES_SCHEME}://user:password@host:5432/database, special characters in the "
                "password percent-encoded (%40 for @)"
            )
        return SecretStr(url)

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

    @field_validator("ecs_subnets", "ecs_security_groups")
    @classmethod
    def _ids(cls, given: str, info: ValidationInfo) -> str:
        prefix = "subnet-" if info.field_name == "ecs_subnets" else "sg-"
        for one in _parts(given):
            if not re.fullmatch(rf"{prefix}[0-9a-f]+", one):
                raise ValueError(f"{one!r} is no id: write {prefix}0a1b2c3d, several with commas in between")
        return given

    @field_validator("emr_role_arn")
    @classmethod
    def _role(cls, arn: str) -> str:
        if arn and not _ROLE_ARN.fullmatch(arn):
            raise ValueError("write the role's ARN, arn:aws:iam::123456789012:role/name")
        return arn

    @field_validator("emr_application_id")
    @classmethod
    def _application(cls, found: str) -> str:
        if found and not re.fullmatch(r"[0-9a-z]{1,64}", found):
            raise ValueError("write the application's id, such as 00f1a2b3c4d5e6f7, and neither its name nor its ARN")
        return found

    @field_validator("emr_entry_point")
    @classmethod
    def _entry_point(cls, url: str) -> str:
        if not re.fullmatch(r"(s3|local)://\S+\.py", url):
            raise ValueError("write local:///path/in/the/image.py or s3://bucket/file.py")
        return url

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

    @model_validator(mode="after")
    def _risks_in_order(self) -> Self:
        if self.risk_low_from < self.risk_high_below:
            raise ValueError(
                f"CRM_RISK_LOW_FROM {self.risk_low_from} is below CRM_RISK_HIGH_BELOW {self.risk_high_below}: the risk "
                "is low from the larger one on"
            )
        return self

    @model_validator(mode="after")
    def _services_named(self) -> Self:
        if not self.require_services:
            return self
        wanted = {
            "source_url": ("name the source", "source_url" in self.model_fields_set),
            "lake_url": ("write s3://bucket/prefix", self.lake_url.startswith("s3://")),
            "mlflow_tracking_uri": (
                "write the http(s):// URL of an MLflow server",
                self.mlflow_tracking_uri.startswith(("http://", "https://")),
            ),
            "dagster_postgres_url": (
                f"write {_POSTGRES_SCHEME}://user:password@host/database",
                self.dagster_postgres_url is not None,
            ),
            "dagster_url": (
                "write the address that the links in alerts should have",
                not self.alert_targets or "dagster_url" in self.model_fields_set,
            ),
        }
        lacking = [
            f"{PREFIX}{name.upper()} is {getattr(self, name)!r}, {remedy}"
            if name in self.model_fields_set
            else f"{PREFIX}{name.upper()} is not set, {remedy}"
            for name, (remedy, given) in wanted.items()
            if not given
        ]
        if lacking:
            raise ValueError(
                f"nothing may be local with profile {self.profile} ({PREFIX}REQUIRE_SERVICES): {'; '.join(lacking)}"
            )
        return self

    @model_validator(mode="after")
    def _cloud_named(self) -> Self:
        if self.dagster_run_launcher == "ecs":
            self._refuse_lacking("dagster_run_launcher", _ECS_NEEDS)
        if self.features_on == "emr-serverless":
            self._refuse_lacking("features_on", _EMR_NEEDS)
            if not self.lake_url.startswith("s3://"):
                raise ValueError(
                    f"{PREFIX}FEATURES_ON is 'emr-serverless', but the job cannot reach {PREFIX}LAKE_URL "
                    f"{self.lake_url!r}: write s3://bucket/prefix, or leave {PREFIX}FEATURES_ON out"
                )
        return self

    def _refuse_lacking(self, choice: str, needs: Mapping[str, str]) -> None:
        """Raise ValueError when a setting that a choice needs is not set."""
        lacking = [f"{PREFIX}{name.upper()}, {what}" for name, what in needs.items() if not getattr(self, name)]
        if lacking:
            variable = f"{PREFIX}{choice.upper()}"
            raise ValueError(
                f"{variable} is {getattr(self, choice)!r}, which needs what is not set: {'; '.join(lacking)}; set "
                f"them, or leave {variable} out"
            )

    def as_recorded(self, values: Mapping[str, object]) -> Settings:
        """These settings with others in their place, as a manifest recorded them. Raises Pydantic's ValidationError."""
        # What is dumped of a secret is asterisks.
        secrets = {name: getattr(self, name) for name in _SECRET_FIELDS}
        return Settings.model_validate({**self.model_dump(mode="json"), **secrets, **values})

    @property
    def understood(self) -> frozenset[str]:
        """The names in `CRM_UNDERSTOOD_FEATURES`."""
        return frozenset(name.strip() for name in self.understood_features.split(",") if name.strip())

    @property
    def candidate_names(self) -> list[str]:
        """The names in `CRM_CANDIDATES`."""
        return [name.strip() for name in self.candidates.split(",")]

    @property
    def ecs_subnet_ids(self) -> list[str]:
        """The ids in `CRM_ECS_SUBNETS`."""
        return _parts(self.ecs_subnets)

    @property
    def ecs_security_group_ids(self) -> list[str]:
        """The ids in `CRM_ECS_SECURITY_GROUPS`."""
        return _parts(self.ecs_security_groups)

    @property
    def emr_url(self) -> str:
        """Where a run and its Spark job hand each other what they need: beside the data sets, hidden from the lake."""
        return f"{self.lake_url.rstrip('/')}/.emr"

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
    def mlflow_pages(self) -> str | None:
        """Where people find MLflow's pages: `CRM_MLFLOW_URL`, or the tracking server; None where there is no server."""
        is_server = urlsplit(self.mlflow_tracking_uri).scheme in {"http", "https"}
        return (self.mlflow_url or (self.mlflow_tracking_uri if is_server else "")).rstrip("/") or None

    @property
    def tracking_uri(self) -> str:
        """MLflow's tracking URI: `CRM_MLFLOW_TRACKING_URI`, or SQLite below `CRM_HOME`."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home.absolute() / 'mlflow' / 'mlflow.db'}"


_SECRET_FIELDS = frozenset(name.removeprefix(PREFIX).lower() for name in SECRETS)
_NOT_IN_PROFILES = _SECRET_FIELDS | {"profile"}
_NO_TRUTH_VALUE = "YAML takes for a truth value; put it in quotes if it is text"


def _parts(text: str) -> list[str]:
    """What stands between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


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
    """The settings of this process: defaults, then the profile, `.env`, the environment and `overrides` but None.

    Raises SettingsError naming the variable or the profile's file and key, the value (unless it is secret) and the
    remedy; also for a `CRM_` variable or a key of the profile that is no setting.
    """
    return settings_and_origins(**overrides)[0]


def settings_and_origins(**overrides: Any) -> tuple[Settings, Mapping[str, str]]:
    """As `load_settings`, and where each setting's value comes from, such as `.env` or `profile staging`, by its name.

    Raises what `load_settings` does.
    """
    given = _variables()
    origins = {name: place for name, (place, value) in given.items() if value}
    chosen = {name: value for name, value in overrides.items() if value is not None}
    name = str(chosen.get("profile") or given.get("profile", ("", ""))[1] or PROFILES[0])
    profile = read_profile(name, set(Settings.model_fields) - _NOT_IN_PROFILES, _SECRET_FIELDS)
    used: dict[str, Any] = {name: value for name, value in profile.values.items() if name not in {*origins, *chosen}}
    for setting, value in used.items():
        if isinstance(value, bool) and Settings.model_fields[setting].annotation is not bool:
            raise SettingsError(f"{profile.place(setting)} is {str(value).lower()}, which {_NO_TRUTH_VALUE}")
    try:
        settings = Settings(**used, **chosen)
    except ValidationError as error:
        raise SettingsError("; ".join(_told(problem, profile, used) for problem in error.errors())) from None
    origins |= dict.fromkeys(used, f"profile {profile.name}") | dict.fromkeys(chosen, COMMAND_LINE)
    return settings, {setting: origins.get(setting, DEFAULT) for setting in Settings.model_fields}


def _variables() -> dict[str, tuple[str, str]]:
    """Name of a setting -> where its variable is set, and to what; the environment wins over `.env` unless empty.

    Raises SettingsError for a variable with the prefix that is no setting.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    try:
        in_file = dotenv_values(".env")
    except UnicodeDecodeError as error:
        raise SettingsError(f".env is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    found: dict[str, tuple[str, str]] = {}
    for shown, place, values in (("the environment", ENVIRONMENT, os.environ), (".env", ENV_FILE, in_file)):
        for name, value in values.items():
            variable = name.upper()
            if variable == _CANDIDATES and not (value or "").strip():
                # Of other settings an empty one is the default; who empties this one may mean that none is to be tried.
                raise SettingsError(f"{name} in {shown} is empty: {_NAME_CANDIDATES}, or leave it out")
            if variable.startswith(PREFIX) and variable not in known | TESTS_ONLY:
                near = difflib.get_close_matches(variable, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
                raise SettingsError(f"{name} in {shown} is not a setting: {hint}")
            if variable in known and value:
                found.setdefault(variable.removeprefix(PREFIX).lower(), (place, value))
    return found


def _told(problem: Mapping[str, Any], profile: Profile, used: Mapping[str, object]) -> str:
    """One thing that is wrong, in words; `used` are the settings that have their value from the profile."""
    setting = str(problem["loc"][0]) if problem["loc"] else ""
    name = PREFIX + setting.upper() if setting else "settings"
    place = profile.place(setting) if setting in used else name
    # A refused URL may hold a secret.
    secret = "credentials" in problem["msg"] or name in SECRETS
    shown = "" if secret or not setting else f" is {problem['input']!r}"
    if problem["type"] in _NOT_OF_TYPE:
        return f"{place}{shown}, which is {_NOT_OF_TYPE[problem['type']]}"
    return f"{place}{shown}: {problem['msg'].removeprefix('Value error, ')}"
