"""Who may ask, how often, and what is written down about it."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient

from crm_assets.cli import main
from crm_assets.errors import LakeError, SettingsError
from crm_assets.serving.access import Access, Asker, Rates, entry, new_key
from crm_assets.serving.guard import ACCESS_LOG, AUDIT_LOG
from crm_assets.serving.json_lines import JsonLines
from crm_assets.serving.live import Troubles
from crm_assets.serving.problems import ProblemError
from crm_assets.serving.tokens import AGAIN_SECONDS, KEPT_SECONDS
from crm_assets.settings import Settings
from crm_assets_tests.serving.conftest import Deployment
from crm_assets_tests.serving.small_lake import LAST, replace_in, settings_in

READER, SCORER = new_key(), new_key()
KEYS = f"{entry('page', 'read', READER)} {entry('crm', 'score', SCORER)}"
AUDIENCE = "crm-assets"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def held_by(access: Access, key: str) -> Asker:
    asker = access.holder(key)
    assert asker is not None
    return asker


@pytest.fixture
def guarded(deployment: Deployment) -> Iterator[TestClient]:
    with deployment.client(replace_in(deployment.settings, api_keys=KEYS)) as client:
        yield client


def test_a_key_may_do_what_its_scope_says(deployment: Deployment, guarded: TestClient) -> None:
    asked = {"opportunities": [{"opportunity_id": str(deployment.scores[LAST]["opportunity_id"][0])}]}
    told = {
        (who, path): guarded.request(
            method, path, headers=headers, json=asked if method == "POST" else None
        ).status_code
        for who, headers in (("nobody", {}), ("reader", bearer(READER)), ("scorer", {"X-API-Key": SCORER}))
        for method, path in (
            ("GET", "/v1/pipeline"),
            ("POST", "/v1/score"),
            ("GET", "/metrics"),
            ("GET", "/health/live"),
        )
    }
    assert told == {
        ("nobody", "/v1/pipeline"): 401,
        ("nobody", "/v1/score"): 401,
        ("nobody", "/metrics"): 401,
        ("nobody", "/health/live"): 200,
        ("reader", "/v1/pipeline"): 200,
        ("reader", "/v1/score"): 403,
        ("reader", "/metrics"): 200,
        ("reader", "/health/live"): 200,
        ("scorer", "/v1/pipeline"): 403,
        ("scorer", "/v1/score"): 200,
        ("scorer", "/metrics"): 403,
        ("scorer", "/health/live"): 200,
    }


@pytest.mark.parametrize(
    "headers",
    [
        bearer("crm_wrong"),
        bearer(""),
        {"Authorization": f"Basic {READER}"},
        {"X-API-Key": READER[:-1]},
        bearer("a.b.c"),
    ],
)
def test_a_key_that_is_none_is_refused(guarded: TestClient, headers: dict[str, str]) -> None:
    answer = guarded.get("/v1/pipeline", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    (given,) = headers.values()
    assert given.split()[-1] not in answer.text or given == "Bearer "


def test_nobody_learns_what_paths_there_are_without_a_key(guarded: TestClient) -> None:
    assert guarded.get("/nope").status_code == 401


def test_no_body_is_read_of_who_may_not_ask(guarded: TestClient) -> None:
    assert guarded.post("/v1/score", content=b"[" * 2_000_000).status_code == 401


def test_keys_are_rotated_without_a_restart(tmp_path: Path) -> None:
    file, now = tmp_path / "keys", [0.0]
    file.write_text(f"# old\n{entry('crm', 'read', READER)}\n")
    access = Access(settings_in(tmp_path, api_keys_file=file), lambda: now[0])
    assert held_by(access, READER).name == "crm"
    file.write_text(f"{entry('crm', 'read', READER)}\n{entry('crm-new', 'read+score', SCORER)}\n")
    now[0] += 2
    assert [held_by(access, key).name for key in (READER, SCORER)] == ["crm", "crm-new"]
    file.write_text(f"{entry('crm-new', 'read+score', SCORER)}\n# the old one is gone\n")
    now[0] += 2
    assert access.holder(READER) is None


@pytest.mark.parametrize("wrong", ["half", "gone", "bytes"])
def test_a_revoked_key_does_not_hold_whatever_else_is_wrong_with_the_file(
    wrong: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file, now = tmp_path / "keys", [0.0]
    kept = f"{entry('crm', 'read', READER)}\n"
    file.write_text(f"{kept}{entry('old', 'score', SCORER)}\n")
    access = Access(settings_in(tmp_path, api_keys_file=file), lambda: now[0])
    spoilt: dict[str, Callable[[], object]] = {
        "half": lambda: file.write_text(f"{kept}old:score:{'0' * 63}\n"),
        "gone": file.unlink,
        "bytes": lambda: file.write_bytes(kept.encode() + b"\xff"),
    }
    spoilt[wrong]()
    for _ in range(2):
        now[0] += 2
        assert access.holder(SCORER) is None
    assert (access.holder(READER) is not None) == (wrong == "half")
    assert access.trouble is not None
    assert caplog.text.count("the file of API keys is not in order") == 1
    file.write_text(kept)
    now[0] += 2
    assert held_by(access, READER).name == "crm"
    assert access.trouble is None


def test_a_file_of_keys_that_is_broken_is_told(
    deployment: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crm_assets.serving.access._LOOK_SECONDS", 0.0)
    file = tmp_path / "keys"
    file.write_text("")
    with deployment.client(replace_in(deployment.settings, api_keys=KEYS, api_keys_file=file)) as client:
        assert 'crm_api_trouble{about="keys"} 0.0' in client.get("/metrics", headers=bearer(READER)).text
        file.unlink()
        ready = client.get("/health/ready").json()
        assert (ready["status"], list(ready["troubles"])) == ("degraded", ["keys"])
        assert 'crm_api_trouble{about="keys"} 1.0' in client.get("/metrics", headers=bearer(READER)).text


def test_a_file_of_keys_is_in_order_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    for make in (lambda: None, lambda: file.write_text("half an entry")):
        make()
        with pytest.raises(SettingsError, match="CRM_API_KEYS_FILE"):
            Access(settings_in(tmp_path, api_keys_file=file))


@pytest.mark.parametrize("text", ["crm:read", "crm:write:" + "0" * 64, "crm:read:xyz"])
def test_a_broken_entry_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsError, match="entry 1 is not") as error:
        Access(settings_in(tmp_path, api_keys=text))
    assert text not in str(error.value)


def test_outside_the_local_profile_nobody_asks_without_a_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lets nobody ask without a key"):
        Access(settings_in(tmp_path, profile="staging"))
    assert not Access(settings_in(tmp_path, profile="staging", api_keys=KEYS)).open
    assert Access(settings_in(tmp_path)).open


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "crm.example.com"])
def test_other_machines_do_not_ask_without_a_key_unless_that_is_wanted(tmp_path: Path, host: str) -> None:
    with pytest.raises(SettingsError, match="could ask without a key"):
        Access(settings_in(tmp_path, api_host=host))
    assert not Access(settings_in(tmp_path, api_host=host, api_keys=KEYS)).open
    assert Access(settings_in(tmp_path, api_host=host, api_anonymous=True)).open


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_asks_without_a_key(tmp_path: Path, host: str) -> None:
    assert Access(settings_in(tmp_path, api_host=host)).open


def test_other_profiles_have_keys_whatever_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="lets nobody ask without a key"):
        Access(settings_in(tmp_path, profile="staging", api_anonymous=True))


SECRET_PLACE = "cannot reach s3://crm-internal/lake"


@pytest.mark.parametrize("ready", [True, False])
def test_a_stranger_learns_what_is_in_trouble_and_not_why(deployment: Deployment, ready: bool) -> None:
    live = deployment.live
    live.troubles = Troubles(lake=SECRET_PLACE)
    if not ready:
        live.current = None
    with deployment.client(replace_in(deployment.settings, api_keys=KEYS)) as client:
        told = {
            who: client.get("/health/ready", headers=headers)
            for who, headers in {
                "nobody": {},
                "wrong": bearer("wrong"),
                "scorer": bearer(SCORER),
                "reader": bearer(READER),
            }.items()
        }
        scored = client.post("/v1/score", json={"opportunities": [{"opportunity_id": "A"}]}, headers=bearer(SCORER))
    assert {answer.status_code for answer in told.values()} == {200 if ready else 503}
    assert {who for who, answer in told.items() if SECRET_PLACE in answer.text} == {"reader"}
    assert all("lake" in answer.text for answer in told.values())
    assert SECRET_PLACE not in scored.text


def test_where_anybody_may_ask_anybody_learns_why(deployment: Deployment) -> None:
    deployment.live.troubles = Troubles(lake=SECRET_PLACE)
    with deployment.client() as client:
        assert SECRET_PLACE in client.get("/health/ready").text


def test_a_lake_that_fails_is_told_in_full_to_those_who_may_read(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise LakeError(SECRET_PLACE)

    monkeypatch.setattr("crm_assets.serving.scoring_paths._all_resolved", fail)
    both = new_key()
    settings = replace_in(deployment.settings, api_keys=f"{KEYS} {entry('both', 'read+score', both)}")
    asked = {"opportunities": [{"opportunity_id": "A"}]}
    with deployment.client(settings) as client:
        answers = [client.post("/v1/score", json=asked, headers=bearer(key)) for key in (SCORER, both)]
    assert [(answer.status_code, SECRET_PLACE in answer.text) for answer in answers] == [(503, False), (503, True)]


def test_the_command_makes_a_key_that_holds(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["api-key", "crm", "--scopes", "read", "--json"])
    made = json.loads(done.stdout)
    assert made["key"] not in made["entry"]
    asker = held_by(Access(settings_in(tmp_path, api_keys=made["entry"])), made["key"])
    assert (asker.name, set(asker.scopes)) == ("crm", {"read"})


def test_a_key_has_its_own_rate() -> None:
    now = [0.0]
    rates = Rates(2, lambda: now[0])
    for name in ("a", "a", "b", "b"):
        rates.take(name)
    with pytest.raises(ProblemError) as refused:
        rates.take("a")
    assert (refused.value.kind, refused.value.headers["Retry-After"]) == ("too-many-requests", "1")
    now[0] += 0.5
    rates.take("a")
    with pytest.raises(ProblemError):
        rates.take("a")
    Rates(0).take("a")


def test_too_many_requests_are_a_problem(deployment: Deployment) -> None:
    with deployment.client(replace_in(deployment.settings, api_requests_per_second=0.001)) as client:
        assert [client.get("/v1/pipeline").status_code for _ in range(2)] == [200, 429]
        assert client.get("/health/live").status_code == 200


def test_who_has_no_key_is_told_so_a_few_times_and_keeps_out_nobody_who_has(deployment: Deployment) -> None:
    settings = replace_in(deployment.settings, api_keys=KEYS, api_refusals_per_second=0.001)
    with deployment.client(settings) as client:
        asked = [client.get("/v1/pipeline", headers=bearer(key)) for key in ("no", "no", READER)]
        assert [answer.status_code for answer in asked] == [401, 429, 200]
        assert "without a key that holds" in asked[1].json()["detail"]


class Issuer:
    """An OpenID Connect issuer with real keys, on a port of its own."""

    def __init__(self) -> None:
        self.keys = {"one": rsa.generate_private_key(65537, 2048)}
        self.asked = 0
        self.is_asked, self.may_answer = threading.Event(), threading.Event()
        self.may_answer.set()
        self.broken = False
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked += 1
                issuer.is_asked.set()
                if not issuer.may_answer.wait(60) or issuer.broken:
                    self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n<html>")
                    return
                told = issuer.jwks() if self.path == "/keys" else {"jwks_uri": f"{issuer.url}/keys"}
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(told).encode())

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def jwks(self) -> dict[str, Any]:
        algorithm = jwt.algorithms.RSAAlgorithm
        keys = {kid: json.loads(algorithm.to_jwk(key.public_key())) for kid, key in self.keys.items()}
        return {"keys": [{**key, "kid": kid, "use": "sig", "alg": "RS256"} for kid, key in keys.items()]}

    def token(self, kid: str = "one", key: Any = None, algorithm: str = "RS256", **claims: Any) -> str:
        now = int(time.time())
        told = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "ann",
            "iat": now,
            "exp": now + 300,
            "scope": "read openid",
            **claims,
        }
        told = {name: value for name, value in told.items() if value is not None}
        return jwt.encode(told, key or self.keys[kid], algorithm=algorithm, headers={"kid": kid})


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    made = Issuer()
    yield made
    made.may_answer.set()
    made.server.shutdown()
    made.server.server_close()


def trusting(deployment: Deployment, issuer: Issuer) -> Settings:
    return replace_in(deployment.settings, api_oidc_issuer=issuer.url, api_oidc_audience=AUDIENCE, api_keys=KEYS)


def test_a_token_of_the_issuer_holds(deployment: Deployment, issuer: Issuer) -> None:
    with deployment.client(trusting(deployment, issuer)) as client:
        assert client.get("/v1/pipeline", headers=bearer(issuer.token())).status_code == 200
        assert client.get("/v1/pipeline", headers=bearer(issuer.token(scope=None, scp=["read"]))).status_code == 200
        assert client.post("/v1/score", json={}, headers=bearer(issuer.token())).status_code == 403
        assert client.get("/v1/pipeline", headers=bearer(READER)).status_code == 200
        asked = issuer.asked
        assert client.get("/v1/pipeline", headers=bearer(issuer.token())).status_code == 200
        assert issuer.asked == asked


Made = Callable[[Issuer], str]


@pytest.mark.parametrize(
    "made",
    [
        lambda issuer: issuer.token(exp=int(time.time()) - 60),
        lambda issuer: issuer.token(aud="another"),
        lambda issuer: issuer.token(iss="http://another"),
        lambda issuer: issuer.token(sub=None),
        lambda issuer: issuer.token(exp=None),
        lambda issuer: issuer.token(key=rsa.generate_private_key(65537, 2048)),
        lambda issuer: jwt.encode({"sub": "ann"}, "k" * 32, algorithm="HS256", headers={"kid": "one"}),
        lambda issuer: jwt.encode({"sub": "ann"}, "", algorithm="none", headers={"kid": "one"}),
        lambda issuer: jwt.encode({"sub": "ann"}, issuer.keys["one"], algorithm="RS256", headers={"kid": "unknown"}),
        lambda issuer: issuer.token()[:-3] + "AAA",
    ],
    ids=["old", "audience", "issuer", "nobody", "endless", "forged", "symmetric", "unsigned", "unknown key", "altered"],
)
def test_a_token_that_does_not_hold_is_refused(deployment: Deployment, issuer: Issuer, made: Made) -> None:
    with deployment.client(trusting(deployment, issuer)) as client:
        answer = client.get("/v1/pipeline", headers=bearer(made(issuer)))
    assert answer.status_code == 401
    assert "invalid_token" in answer.headers["www-authenticate"]


def test_while_the_issuer_is_away_there_is_a_503(deployment: Deployment, issuer: Issuer) -> None:
    settings = replace_in(trusting(deployment, issuer), api_oidc_jwks_url="http://127.0.0.1:9/keys")
    with deployment.client(settings) as client:
        assert client.get("/v1/pipeline", headers=bearer(issuer.token())).status_code == 503
        assert client.get("/v1/pipeline", headers=bearer(READER)).status_code == 200


def test_a_key_that_the_issuer_withdraws_is_refused_and_a_new_one_taken(tmp_path: Path, issuer: Issuer) -> None:
    now = [0.0]
    settings = settings_in(tmp_path, api_oidc_issuer=issuer.url, api_oidc_audience=AUDIENCE)
    access = Access(settings, lambda: now[0])
    withdrawn = issuer.token()

    def asked(token: str) -> str:
        try:
            return asyncio.run(access.who({"authorization": f"Bearer {token}"})).name[:5]
        except ProblemError as problem:
            return problem.kind

    assert asked(withdrawn) == "oidc:"
    issuer.keys = {"two": rsa.generate_private_key(65537, 2048)}
    now[0] += AGAIN_SECONDS
    assert [asked(issuer.token("two")), asked(withdrawn)] == ["oidc:", "unauthorized"]
    issuer.keys = {"three": rsa.generate_private_key(65537, 2048)}
    last = issuer.token("three")
    assert asked(last) == "unauthorized"
    issuer.keys, before = {}, issuer.asked
    now[0] += AGAIN_SECONDS
    assert [asked(last) for _ in range(3)] == ["unavailable"] * 3
    assert issuer.asked == before + 1
    assert asked(withdrawn) == "unavailable"


def test_a_withdrawn_key_is_refused_though_nobody_comes_with_a_new_one(tmp_path: Path, issuer: Issuer) -> None:
    now = [0.0]
    settings = settings_in(tmp_path, api_oidc_issuer=issuer.url, api_oidc_audience=AUDIENCE)
    access, headers = Access(settings, lambda: now[0]), bearer(issuer.token())
    headers = {name.lower(): value for name, value in headers.items()}
    assert asyncio.run(access.who(headers)).scopes == {"read"}
    issuer.keys = {"two": rsa.generate_private_key(65537, 2048)}
    now[0] += KEPT_SECONDS - 1
    assert asyncio.run(access.who(headers)).scopes == {"read"}
    now[0] += 1
    with pytest.raises(ProblemError, match="does not hold"):
        asyncio.run(access.who(headers))


def test_a_token_is_not_taken_for_a_key_and_its_subject_not_told(tmp_path: Path, issuer: Issuer) -> None:
    settings = settings_in(tmp_path, api_oidc_issuer=issuer.url, api_oidc_audience=AUDIENCE, api_keys=KEYS)
    access = Access(settings)

    def name(subject: str) -> str:
        return asyncio.run(access.who({"authorization": f"Bearer {issuer.token(sub=subject)}"})).name

    names = [name(subject) for subject in ("crm", "ann@example.com", "crm")]
    assert names[0] == names[2] != names[1]
    assert all(one.startswith("oidc:") for one in names)
    assert "ann" not in names[1]


def test_an_issuer_that_hangs_keeps_no_api_key_waiting(deployment: Deployment, issuer: Issuer) -> None:
    app = deployment.client(trusting(deployment, issuer)).app
    issuer.may_answer.clear()
    issuer.broken = True

    async def asked() -> tuple[int, list[int], int]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            tokens = [asyncio.create_task(client.get("/v1/model", headers=bearer(issuer.token()))) for _ in range(45)]
            try:
                assert await asyncio.to_thread(issuer.is_asked.wait, 30)
                async with asyncio.timeout(10):
                    by_key = await client.get("/v1/model", headers=bearer(READER))
                assert not any(task.done() for task in tokens)
            finally:
                issuer.may_answer.set()
            by_token = [(await task).status_code for task in tokens]
            return by_key.status_code, by_token, (await client.get("/v1/model", headers=bearer(READER))).status_code

    assert asyncio.run(asked()) == (200, [503] * 45, 200)
    assert issuer.asked == 1


def test_logs_say_who_asked_what_and_nothing_of_people(
    deployment: Deployment, guarded: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    row = deployment.scores[LAST].row(0, named=True)
    guarded.get(f"/v1/opportunities/{row['opportunity_id']}?x={row['sales_agent']}", headers=bearer(READER))
    asked = {"opportunities": [{"opportunity_id": row["opportunity_id"]}]}
    guarded.post("/v1/score", json=asked, headers={**bearer(SCORER), "x-request-id": "mine"})
    lines = [
        json.loads(JsonLines().format(record)) for record in caplog.records if record.name in (ACCESS_LOG, AUDIT_LOG)
    ]
    assert {line["route"] for line in lines} == {"/v1/opportunities/{opportunity_id}", "/v1/score"}
    (audited,) = [line for line in lines if line["log"] == AUDIT_LOG and line["route"] == "/v1/score"]
    expected = {"asker": "crm", "request_id": "mine", "opportunities": 1, "model_version": "1", "status": 200}
    assert {name: audited[name] for name in expected} == expected
    text = "\n".join(JsonLines().format(record) for record in caplog.records if record.name.startswith("crm_assets"))
    for personal in (row["opportunity_id"], row["sales_agent"], READER, SCORER):
        assert personal not in text
