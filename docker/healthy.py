"""Tells by its exit code whether the service in this container works: `healthy.py code|webserver|...`.

It runs every few seconds in each container, so it loads no more than it needs; Dagster's own checks load Dagster, which
takes a second of processor time.
"""
# ruff: noqa: PLC0415 - each service loads what its own check needs

from __future__ import annotations

import http.client
import os
import sys

TIMEOUT_SECONDS = 5
HEARTBEAT_SECONDS = 120
_AGE = "SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(timestamp)) FROM daemon_heartbeats"


def code() -> bool:
    """Whether the code server answers as serving."""
    import grpc
    from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
    from grpc_health.v1.health_pb2_grpc import HealthStub

    with grpc.insecure_channel("127.0.0.1:4000") as channel:
        answer = HealthStub(channel).Check(HealthCheckRequest(service="DagsterApi"), timeout=TIMEOUT_SECONDS)
    return bool(answer.status == HealthCheckResponse.SERVING)


def webserver() -> bool:
    """Whether Dagster's webserver answers."""
    return _answers(3000, "/server_info")


def mlflow() -> bool:
    """Whether MLflow's server answers."""
    return _answers(5000, "/health")


def api() -> bool:
    """Whether the API answers; whether it has scores to answer with is no matter of its process."""
    return _answers(8000, "/health/live")


def page() -> bool:
    """Whether the page's server answers."""
    return _answers(8501, "/_stcore/health")


def daemon() -> bool:
    """Whether Dagster's daemon has lately told PostgreSQL that it is alive; it ends itself when a loop of it does."""
    import psycopg2

    url = os.environ["CRM_DAGSTER_POSTGRES_URL"].replace("postgresql+psycopg2://", "postgresql://", 1)
    connection = psycopg2.connect(url, connect_timeout=TIMEOUT_SECONDS)
    try:
        with connection.cursor() as cursor:
            cursor.execute(_AGE)
            (age,) = cursor.fetchone()
    finally:
        connection.close()
    return age is not None and float(age) < HEARTBEAT_SECONDS


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_SECONDS)
    connection.request("GET", path)
    return connection.getresponse().status == http.HTTPStatus.OK


CHECKS = {"code": code, "webserver": webserver, "mlflow": mlflow, "daemon": daemon, "api": api, "page": page}

if __name__ == "__main__":
    sys.exit(0 if CHECKS[sys.argv[1]]() else 1)
