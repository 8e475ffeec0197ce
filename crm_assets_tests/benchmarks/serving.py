"""The API under load, beside MLflow's own server of the same champion in the same run."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import click
import httpx
import numpy as np
import polars as pl

from crm_assets_tests.benchmarks.load import at_rate, by_wrk, http, wrk_program
from crm_assets_tests.benchmarks.process import ROOT, busy_seconds, environment
from crm_assets_tests.integration.model_server import model_server
from crm_assets_tests.serving.server_process import ServerProcess, api_server

RESULTS = ROOT / "bench" / "serving.json"
FOLDER = ROOT / "bench" / "serving"
"""Lake and MLflow store of the demo, made once."""

RATE = 200
AIM_MILLISECONDS = {"p50": 3.0, "p95": 8.0, "p99": 20.0}
"""Of a single score at that rate on one worker."""
BATCH = 1_000
AIM_BATCH_MILLISECONDS = 60.0
AIM_START_SECONDS = 5.0
AIM_MEGABYTES = 400
AIM_TIMES_MLFLOW = 5.0
SOAK_SHARE = 0.7
CONNECTIONS = (1, 4, 16, 64)
STARTS = 3
OLDEST_DAYS = 600
FLOOR_ROWS = 2_000
_WIDTH = 120


@dataclass(frozen=True)
class Demo:
    """The demo's lake and store.

    Attributes:
        variables: the settings that lead to them.
    """

    variables: Mapping[str, str]

    @classmethod
    def made(cls) -> Demo:
        """The demo of now: the first time it takes over a minute, later only what has changed is made again."""
        FOLDER.mkdir(parents=True, exist_ok=True)
        variables = {
            "CRM_SOURCE_URL": "simulator:",
            "CRM_LAKE_URL": str(FOLDER / "lake"),
            "CRM_HOME": str(FOLDER / "home"),
        }
        done = subprocess.run(
            [sys.executable, "-c", "from crm_assets.cli import main; main()", "run", "--json"],
            cwd=FOLDER,
            env={**environment(), **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise click.ClickException(f"the demo cannot be made:\n{done.stderr[-4_000:]}")
        demo = cls(variables)
        shutil.rmtree(demo.lake / "prediction_log", ignore_errors=True)
        return demo

    @property
    def lake(self) -> Path:
        return FOLDER / "lake" / "simulator"

    @property
    def store(self) -> str:
        return f"sqlite:///{FOLDER / 'home' / 'mlflow' / 'mlflow.db'}"

    @cached_property
    def book(self) -> pl.DataFrame:
        """The features of the newest month."""
        return pl.read_parquet(max(self.lake.glob("opportunity_features/*.parquet")))

    def by_id(self) -> list[str]:
        return [_asked([{"opportunity_id": one}]) for one in self.book["opportunity_id"]]

    def by_fields(self, count: int, of: int = 1, seed: int = 7) -> list[str]:
        """Requests about opportunities thought of, hardly any two alike, so that nothing is answered from memory."""
        rng = random.Random(seed)
        agents, products = (sorted(self.book[name].unique().drop_nulls()) for name in ("sales_agent", "product"))

        def one() -> dict[str, Any]:
            return {
                "sales_agent": rng.choice(agents),
                "product": rng.choice(products),
                "age_days": rng.randrange(OLDEST_DAYS),
                "list_price": rng.randrange(50, 30_000),
            }

        return [_asked([one() for _ in range(of)]) for _ in range(count)]

    def for_mlflow(self, features: Sequence[str]) -> list[str]:
        """Each row of the book, as MLflow's server is told one."""
        rows = self.book.select(pl.col(name).cast(pl.String) if name == "as_of" else name for name in features)
        return [json.dumps({"dataframe_split": {"columns": list(features), "data": [row]}}) for row in rows.rows()]


def _asked(opportunities: Sequence[dict[str, Any]]) -> str:
    return json.dumps({"opportunities": opportunities})


def _score(bodies: Sequence[str]) -> list[bytes]:
    return [http("POST", "/v1/score", body.encode()) for body in bodies]


def _memory(pid: int) -> float:
    """Resident megabytes of a process."""
    (line,) = (row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024 / 1e6


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def _own_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextmanager
def _watched(told: dict[str, Any]) -> Iterator[None]:
    """Note what else the machine did: `load` before and after, and the processors that everything else kept busy.

    All processes of the block are to end within it.
    """
    load, began, busy, own = os.getloadavg()[0], time.perf_counter(), busy_seconds(), _own_seconds()
    yield
    passed, after = time.perf_counter() - began, busy_seconds()
    told["load"] = [round(load, 1), round(os.getloadavg()[0], 1)]
    if busy is not None and after is not None:
        told["others"] = round(max(0.0, (after - busy - (_own_seconds() - own)) / passed), 1)


@contextmanager
def _api(demo: Demo, workers: int = 1) -> Iterator[ServerProcess]:
    variables = {
        **demo.variables,
        "CRM_API_WORKERS": str(workers),
        "CRM_API_REQUESTS_PER_SECOND": "0",
        # As it is installed: with bytecode, which the first start writes.
        "PYTHONDONTWRITEBYTECODE": "",
    }
    with (
        tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name,
        api_server(variables, Path(name), keep_log=False) as server,
    ):
        server.until(lambda: server.listening() == workers)
        yield server
        server.stop()


def _starts(demo: Demo) -> dict[str, Any]:
    """Seconds from start to ready, and processor seconds; the first start, which warms the disk, is left out."""
    taken, worked = [], []
    for _ in range(STARTS + 1):
        began = time.perf_counter()
        with _api(demo) as server:
            taken.append(time.perf_counter() - began)
            worked.append(_processor_seconds(server.process.pid))
    return {"seconds": round(statistics.median(taken[1:]), 2), "processor": round(statistics.median(worked[1:]), 2)}


def _every_path(server: ServerProcess, ids: Sequence[str]) -> None:
    """Ask every path that answers from the lake, or explains, so that memory is that of a server in use."""
    with httpx.Client(base_url=server.address, timeout=60) as client:
        for one in ids:
            client.post("/v1/explain", json={"opportunity": {"opportunity_id": one}}).raise_for_status()
            client.get(f"/v1/opportunities/{one}").raise_for_status()
            client.get("/v1/pipeline", params={"limit": 100}).raise_for_status()
        for path in ("/v1/forecast", "/v1/model", "/metrics"):
            client.get(path).raise_for_status()


def _one_worker(demo: Demo, seconds: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    single, fields, batches = demo.by_id(), demo.by_fields(20_000), demo.by_fields(50, BATCH)
    with _watched(told), _api(demo) as server:
        (pid,) = server.workers()
        told["rest_megabytes"] = round(_memory(pid))
        for bodies in (single, fields):
            at_rate(server.address, _score(bodies), per_second=RATE, seconds=2)
        told["by_id"] = at_rate(server.address, _score(single), per_second=RATE, seconds=seconds).figures()
        told["by_fields"] = at_rate(server.address, _score(fields), per_second=RATE, seconds=seconds).figures()
        told["batch"] = at_rate(server.address, _score(batches), per_second=4, seconds=seconds).figures()
        url = f"{server.address}/v1/score"
        told["most_by_id"] = [by_wrk(url, single, connections=count, seconds=seconds) for count in CONNECTIONS]
        told["most_by_fields"] = [by_wrk(url, fields, connections=count, seconds=seconds) for count in CONNECTIONS]
        _every_path(server, demo.book["opportunity_id"].head(100).to_list())
        told["used_megabytes"] = round(_memory(pid))
        told["features"] = _features(server)
    return told


def _features(server: ServerProcess) -> list[str]:
    model = httpx.get(f"{server.address}/v1/model", timeout=60).json()
    return [feature["name"] for feature in model["features"]]


def _two_workers(demo: Demo, seconds: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    single, fields = demo.by_id(), demo.by_fields(20_000)
    with _watched(told), _api(demo, workers=2) as server:
        url = f"{server.address}/v1/score"
        by_wrk(url, fields, connections=16, seconds=2)
        told["most_by_id"] = [by_wrk(url, single, connections=count, seconds=seconds) for count in CONNECTIONS]
        told["most_by_fields"] = [by_wrk(url, fields, connections=count, seconds=seconds) for count in CONNECTIONS]
        told["used_megabytes"] = [round(_memory(pid)) for pid in server.workers()]
    return told


def _mlflow(demo: Demo, features: Sequence[str], workers: int, seconds: int) -> dict[str, Any]:
    told: dict[str, Any] = {}
    bodies = demo.for_mlflow(features)
    with (
        tempfile.TemporaryDirectory(prefix="crm-assets-bench-") as name,
        _watched(told),
        model_server(demo.store, "simulator_win_model", Path(name), workers) as address,
    ):
        url = f"{address}/invocations"
        httpx.post(url, content=bodies[0], headers={"Content-Type": "application/json"}).raise_for_status()
        by_wrk(url, bodies, connections=4, seconds=2)
        told["most"] = [by_wrk(url, bodies, connections=count, seconds=seconds) for count in CONNECTIONS]
    return told


def _floor(demo: Demo) -> dict[str, float]:
    """Milliseconds in which bare CatBoost predicts one row, with as many trees as the platform's candidate has."""
    from catboost import CatBoostClassifier

    from crm_assets.features.registry import WIN_MODEL_FEATURES
    from crm_assets.modelling.catboost_boosting import CatBoost

    *_, before, last = sorted(demo.lake.glob("opportunity_features/*.parquet"))
    outcomes = pl.read_parquet(demo.lake / "opportunity_outcomes" / last.name)
    rows = pl.read_parquet(before).join(outcomes.select("opportunity_id", "outcome"), on="opportunity_id")
    names, recipe = list(WIN_MODEL_FEATURES), CatBoost()
    matrix = rows.select(pl.col(names).cast(pl.Float64)).to_numpy()
    trees = CatBoostClassifier(
        iterations=recipe.iterations,
        depth=recipe.depth,
        learning_rate=recipe.learning_rate,
        thread_count=1,
        random_seed=7,
        allow_writing_files=False,
        logging_level="Silent",
    ).fit(matrix, (rows["outcome"] == "won").to_numpy())
    return _taken(lambda at: trees.predict_proba(matrix[at : at + 1], thread_count=1), len(matrix))


def _taken(work: Callable[[int], Any], rows: int) -> dict[str, float]:
    taken = []
    for number in range(FLOOR_ROWS):
        began = time.perf_counter()
        work(number % rows)
        taken.append(1000 * (time.perf_counter() - began))
    return {f"p{share}": round(float(np.percentile(taken, share)), 3) for share in (50, 95, 99)}


def at_equal_p95(ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many times as much one server answers as another at a p95 not above the other's.

    Of all levels of load of the other that where it does best: `theirs` and `ours` answers a second, `p95` of theirs in
    milliseconds, `times`. Levels at which requests failed do not count.
    """
    good = [level for level in ours if not level["failed"]]
    found = []
    for level in theirs:
        most = max((each["per_second"] for each in good if each["p95"] <= level["p95"]), default=0.0)
        times = round(most / level["per_second"], 1)
        found.append({"times": times, "p95": level["p95"], "theirs": level["per_second"], "ours": most})
    return min(found, key=lambda each: each["times"])


def _soak(demo: Demo, minutes: float, per_second: float) -> dict[str, Any]:
    """Requests of every kind at a fixed rate on two workers, with the memory of each meanwhile."""
    told: dict[str, Any] = {"minutes": minutes, "rate": round(per_second)}
    ids = demo.book["opportunity_id"].to_list()
    requests = _score([body for pair in zip(demo.by_fields(10_000), demo.by_id() * 6, strict=False) for body in pair])
    for at in range(0, len(requests), 1_000):
        # Now and then something else is asked for.
        one = ids[at // 1_000]
        explained = json.dumps({"opportunity": {"opportunity_id": one}}).encode()
        requests[at] = http("GET", f"/v1/opportunities/{one}")
        requests[at + 250] = http("POST", "/v1/explain", explained)
        requests[at + 500] = http("GET", "/v1/pipeline?limit=100")
        requests[at + 750] = http("GET", "/metrics")
    seen: list[tuple[float, list[float]]] = []
    with _watched(told), _api(demo, workers=2) as server:
        workers = server.workers()
        told["rest_megabytes"] = [round(_memory(pid)) for pid in workers]
        answered = at_rate(
            server.address,
            requests,
            per_second=per_second,
            seconds=60 * minutes,
            connections=64,
            meanwhile=lambda passed: seen.append((passed, [_memory(pid) for pid in workers])),
        )
        told["same_workers"] = server.workers() == workers
        text = httpx.get(f"{server.address}/metrics").text
    told["predictions_dropped"] = _counted(text, "crm_api_predictions_dropped_total")
    told["not_200"] = [line for line in text.splitlines() if "requests_total{" in line and 'status="200"' not in line]
    told |= answered.figures()
    tenths = [seen[len(seen) * tenth // 10 : len(seen) * (tenth + 1) // 10] for tenth in range(10)]
    told["megabytes"] = [
        [round(statistics.fmean(used[at] for _, used in part)) for part in tenths if part] for at in range(len(workers))
    ]
    return told


def _counted(text: str, name: str) -> float:
    return sum(float(line.split()[1]) for line in text.splitlines() if line.startswith(f"{name} "))


@click.command("serving")
@click.option("--seconds", default=10, show_default=True, type=click.IntRange(1), help="For each figure.")
@click.option("--soak", "soak_minutes", default=0.0, type=click.FloatRange(0), metavar="MINUTES", help="Soak as well.")
@click.option("--only-soak", is_flag=True, help="Nothing else but what is needed to know how much that is.")
def serving(seconds: int, soak_minutes: float, only_soak: bool) -> None:
    """The API under load, beside MLflow's own server."""
    if wrk_program() is None:
        raise click.ClickException("wrk is not installed: apt-get install wrk")
    demo = Demo.made()
    told: dict[str, Any] = {"measured_at": datetime.now(UTC).isoformat(timespec="seconds"), "seconds": seconds}
    if not only_soak:
        start: dict[str, Any] = {}
        with _watched(start):
            start |= _starts(demo)
        told["start"], told["floor"] = start, _floor(demo)
        told["one"] = _one_worker(demo, seconds)
    told["two"] = _two_workers(demo, seconds)
    if not only_soak:
        for workers in (1, 2):
            told[f"mlflow_{workers}"] = _mlflow(demo, told["one"]["features"], workers, seconds)
    if soak_minutes:
        most = max(level["per_second"] for level in told["two"]["most_by_fields"] if not level["failed"])
        told["soak"] = _soak(demo, soak_minutes, SOAK_SHARE * most)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n")
    click.echo(page(told))
    click.echo(f"Figures: {RESULTS}")


def page(told: Mapping[str, Any]) -> str:
    """What docs/benchmarks.md shows of the figures, as Markdown."""
    parts = []
    if "one" in told:
        parts += [_latencies(told), _sizes(told), _most(told)]
    if "soak" in told:
        parts.append(_soaked(told["soak"]))
    lines = "\n\n".join(parts).splitlines()
    return "\n".join(line if line.startswith("|") else textwrap.fill(line, _WIDTH) for line in lines)


def _around(told: Mapping[str, Any]) -> str:
    before, after = told["load"]
    others = f", others kept {told['others']} processors busy" if "others" in told else ""
    return f"load {before} to {after}{others}"


def _verdict(met: bool) -> str:
    return "met" if met else "missed"


def _latencies(told: Mapping[str, Any]) -> str:
    one = told["one"]
    lines = [
        f"One worker; {_around(one)}. Milliseconds from when a request was due to its answer:",
        "",
        "| | Requests | p50 | p95 | p99 | Failed | Aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    aim = " / ".join(f"{value:g}" for value in AIM_MILLISECONDS.values())
    for key, name in (("by_id", "by id"), ("by_fields", "by fields")):
        found = one[key]
        met = not found["failed"] and all(found[share] <= value for share, value in AIM_MILLISECONDS.items())
        lines.append(
            f"| one score {name}, {RATE}/s | {found['asked']:,} | {found['p50']} | {found['p95']} | {found['p99']} "
            f"| {found['failed']} | {aim}, {_verdict(met)} |"
        )
    batch = one["batch"]
    met = not batch["failed"] and batch["p95"] <= AIM_BATCH_MILLISECONDS
    lines.append(
        f"| {BATCH:,} by fields at once | {batch['asked']:,} | {batch['p50']} | {batch['p95']} | {batch['p99']} "
        f"| {batch['failed']} | {AIM_BATCH_MILLISECONDS:g}, {_verdict(met)} |"
    )
    floor = " | ".join(str(told["floor"][share]) for share in ("p50", "p95", "p99"))
    lines.append(f"| bare CatBoost, one row, no server | {FLOOR_ROWS:,} | {floor} | | |")
    return "\n".join(lines)


def _sizes(told: Mapping[str, Any]) -> str:
    start, one, two = told["start"], told["one"], told["two"]
    most = max(one["used_megabytes"], *two["used_megabytes"])
    used = ", ".join(str(each) for each in two["used_megabytes"])
    return "\n".join(
        [
            "| | | Aim |",
            "| --- | ---: | --- |",
            f"| start to ready, median of {STARTS} ({_around(start)}) | {start['seconds']} s "
            f"| {AIM_START_SECONDS:g} s, {_verdict(start['seconds'] <= AIM_START_SECONDS)} |",
            f"| of which processor time | {start['processor']} s | |",
            f"| memory of a worker at rest | {one['rest_megabytes']} MB | |",
            f"| after all of the above, and every other path | {one['used_megabytes']} MB "
            f"| {AIM_MEGABYTES} MB, {_verdict(most <= AIM_MEGABYTES)} |",
            f"| of each of two after as much as they could answer | {used} MB | |",
        ]
    )


def _most(told: Mapping[str, Any]) -> str:
    rows = [
        ("the API by id", 1, told["one"], "most_by_id"),
        ("the API by fields", 1, told["one"], "most_by_fields"),
        ("MLflow's server", 1, told["mlflow_1"], "most"),
        ("the API by id", 2, told["two"], "most_by_id"),
        ("the API by fields", 2, told["two"], "most_by_fields"),
        ("MLflow's server", 2, told["mlflow_2"], "most"),
    ]
    lines = [
        "As often as answers come, on so many connections: answers a second, and p95 in milliseconds.",
        "",
        f"| | Processes | {' | '.join(map(str, CONNECTIONS))} |",
        f"| --- | ---: |{' ---: |' * len(CONNECTIONS)}",
    ]
    for name, workers, part, key in rows:
        cells = [
            f"{level['per_second']:,.0f} ({level['p95']})" + (f", {level['failed']} failed" if level["failed"] else "")
            for level in part[key]
        ]
        lines.append(f"| {name} | {workers} | {' | '.join(cells)} |")
    lines += ["", f"With two processes: {_around(told['two'])}; MLflow's: {_around(told['mlflow_2'])}.", ""]
    lines += [
        "At a p95 not above that of MLflow's server, at the load where that does best against the API:",
        "",
        "| | Processes | p95 | The API | MLflow's | Times | Aim |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for workers, part in ((1, told["one"]), (2, told["two"])):
        for key, name in (("most_by_id", "by id"), ("most_by_fields", "by fields")):
            found = at_equal_p95(part[key], told[f"mlflow_{workers}"]["most"])
            met = _verdict(found["times"] >= AIM_TIMES_MLFLOW)
            lines.append(
                f"| {name} | {workers} | {found['p95']} | {found['ours']:,.0f} | {found['theirs']:,.0f} "
                f"| {found['times']} | {AIM_TIMES_MLFLOW:g}, {met} |"
            )
    return "\n".join(lines)


def _named(soak: Mapping[str, Any]) -> str:
    told = ", ".join(f"{name} {count}" for name, count in soak["failures"].items())
    return f" ({told})" if told else ""


def _soaked(soak: Mapping[str, Any]) -> str:
    lines = [
        f"{soak['minutes']:g} minutes at {soak['rate']:,} requests a second, {SOAK_SHARE:.0%} of the most "
        f"that two workers answer; {_around(soak)}: {soak['asked']:,} requests, {soak['failed']} failed{_named(soak)}, "
        f"{soak['predictions_dropped']:,.0f} predictions dropped, p50 {soak['p50']}, p95 {soak['p95']}, p99 "
        f"{soak['p99']} ms{'' if soak['same_workers'] else '; a worker was started again'}.",
        "",
        f"| Megabytes | at rest | {' | '.join(f'{tenth}. tenth' for tenth in range(1, 11))} |",
        f"| --- | ---: |{' ---: |' * 10}",
    ]
    for at, tenths in enumerate(soak["megabytes"]):
        lines.append(f"| worker {at + 1} | {soak['rest_megabytes'][at]} | {' | '.join(map(str, tenths))} |")
    return "\n".join(lines)
