"""No secret leaves: not by output, logs, errors, status.json, the settings' words, nor by Dagster's runs and events.

Every secret setting has a text that occurs nowhere else; the sources echo what they are sent, in all the ways they can.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import importlib
import json
import logging
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus, unquote_plus

import dagster as dg
import pytest

from pipelines import bootstrap, settings
from pipelines.doctor.__main__ import main as doctor
from pipelines.simulators.ec_oracle import SERVICE, USER
from pipelines.simulators.launch import Running, start_simulators
from pipelines.simulators.launch_operator import REFERENCE
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_app import System
from pipelines.simulators.server_http import HTML, JSON, TEXT, Reply, Request
from pipelines.sources.circuit import forget_circuits
from pipelines.sources.config import Secret, secrets_of
from pipelines.sources.http_retry import HttpPolicy
from pipelines.stages.registry import STAGES

pytestmark = [
    # The Oracle driver leaves the socket of a broken session to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    # The one warning of Dagster that is known (2026-11): a policy of the design that 1.13 still calls beta.
    pytest.mark.filterwarnings("ignore:Parameter `backfill_policy` of function `asset` is:dagster.BetaWarning"),
]

# With every character that some encoding writes in another way.
SECRETS = {
    name: f"Zq9{number}&<{name.lower()}>/+\"it's\\100% ö=;"
    for number, name in enumerate(
        (
            "EC_DB_PASSWORD",
            "EC_API_CLIENT_SECRET",
            "PI_PASSWORD",
            "PI_CLIENT_SECRET",
            "SP_CLIENT_SECRET",
            "DATABASE_URL",
        )
    )
}
TOKEN = "Zq9-access-token-0123456789abcdefghijklmnop"
QUICK = HttpPolicy(connect_seconds=2, read_seconds=2, overall_seconds=4, attempts=2, first_wait_seconds=0.01)


def forms(secret: str) -> set[str]:
    """The texts in which a secret could be found."""
    plain = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret), repr(secret)[1:-1]}
    plain |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], secret.encode().hex()}
    for lead in ("", "x", "xx", "DOMAIN\\reader:", "production-gap:"):
        for trail in ("", "y", "yy"):
            coded = base64.b64encode(f"{lead}{secret}{trail}".encode()).decode()
            plain |= {coded, coded.rstrip("="), base64.urlsafe_b64encode(f"{lead}{secret}{trail}".encode()).decode()}
    # And its most telling part, however the rest is written.
    return plain | {secret[:4] + secret[4:12], *re.findall(r"Zq9\d", secret)}


def nothing_of_it(text: str, where: str) -> None:
    for name, secret in {**SECRETS, "access token": TOKEN}.items():
        found = [form for form in forms(secret) if form in text]
        place = text.find(found[0]) if found else 0
        assert not found, f"{name} in {where}: …{text[max(0, place - 200) : place + 100]}…"


class Echo(System):
    """Says back what it was sent: `status` and how are changed by the test; tokens are given while `gives_tokens`."""

    name = "echo"

    def __init__(self) -> None:
        super().__init__()
        self.status = 401
        self.how: Callable[[str], tuple[bytes, str]] = as_json
        self.gives_tokens = False

    def answer(self, request: Request) -> Reply:
        is_token = request.method == "POST" and b"client_secret" in request.body
        if is_token and self.gives_tokens:
            return Reply.json({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600})
        authorization = request.headers.get("authorization", "")
        body = request.body.decode("utf-8", "replace")
        sent = f"Authorization: {authorization} {decoded(authorization)} {body} {unquote_plus(body)}"
        # The second page of what is paged is empty: the first one is looked at then.
        content, kind = (b'{"items": []}', JSON) if request.first("offset") not in (None, "0") else self.how(sent)
        return Reply(
            status=self.status, body=content, content_type=kind, headers=[("WWW-Authenticate", 'Basic realm="echo"')]
        )


def decoded(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    return base64.b64decode(value).decode("utf-8", "replace") if scheme == "Basic" else value


def as_json(sent: str) -> tuple[bytes, str]:
    content = {"Message": sent, "error": {"code": sent, "message": sent}, "Errors": [sent], "error_description": sent}
    return json.dumps(content).encode(), JSON


def as_oauth(sent: str) -> tuple[bytes, str]:
    return json.dumps({"error": "invalid_client", "error_description": sent}).encode(), JSON


def as_page(sent: str) -> tuple[bytes, str]:
    return f"<html><body><h1>Denied</h1><pre>{html.escape(sent)}</pre></body></html>".encode(), HTML


def as_text(sent: str) -> tuple[bytes, str]:
    # Cut where a message ends: half of a secret is too much as well.
    return f"{'.' * 270} {sent}".encode(), TEXT


def as_garbage(sent: str) -> tuple[bytes, str]:
    return b"\x00\xff{" + sent.encode() + b"\x1b", JSON


def as_keys(sent: str) -> tuple[bytes, str]:
    return json.dumps({"items": [{sent: sent}], "Items": [{sent: 1}], "value": [{sent: 1}]}).encode(), JSON


SLOW = [pytest.mark.slow]
WAYS = [
    pytest.param(401, as_json, False, id="401 as JSON"),
    pytest.param(400, as_oauth, False, id="400 of the token issuer", marks=SLOW),
    pytest.param(403, as_page, True, id="403 as a page", marks=SLOW),
    pytest.param(503, as_text, True, id="503 as a long text", marks=SLOW),
    pytest.param(200, as_garbage, True, id="garbage", marks=SLOW),
    pytest.param(200, as_keys, True, id="an unexpected shape"),
]


@pytest.fixture(scope="module")
def echo() -> Iterator[LocalServer]:
    with LocalServer(Echo()) as server:
        yield server


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sandbox's folder with few tags: what is read does not matter here."""
    copied = tmp_path_factory.mktemp("operator") / "few-tags"
    shutil.copytree(REFERENCE / "sandbox", copied)
    lines = (copied / "tags.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (copied / "tags.csv").write_text("".join(lines[:13]), encoding="utf-8")
    return copied


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(HttpPolicy, "for_timeout", classmethod(lambda _cls, _seconds: QUICK))
    forget_circuits()
    yield
    forget_circuits()


def variables(url: str, operator: Path, folder: Path, *, pi: str = "basic") -> dict[str, str]:
    """Every source at one address, with every secret that this way of logging in has."""
    login = {"PI_USERNAME": "DOMAIN\\reader", "PI_PASSWORD": SECRETS["PI_PASSWORD"]}
    if pi == "bearer":
        login = {
            "PI_CLIENT_ID": "production-gap",
            "PI_CLIENT_SECRET": SECRETS["PI_CLIENT_SECRET"],
            "PI_TOKEN_URL": f"{url}/token",
        }
    return {
        "OPERATOR": str(operator),
        "LAKE_URL": str(folder / "lake"),
        "WAREHOUSE_DIR": str(folder / "warehouse"),
        "HISTORY_DAYS": "3",
        "PI_DAYS": "2",
        "DATABASE_URL": SECRETS["DATABASE_URL"],
        "EC_API_BASE_URL": f"{url}/ec",
        "EC_API_TOKEN_URL": f"{url}/token",
        "EC_API_CLIENT_ID": "production-gap",
        "EC_API_CLIENT_SECRET": SECRETS["EC_API_CLIENT_SECRET"],
        "PI_BASE_URL": f"{url}/piwebapi",
        "PI_AUTH_MODE": pi,
        **login,
        "SP_TENANT_ID": "tenant",
        "SP_CLIENT_ID": "production-gap",
        "SP_CLIENT_SECRET": SECRETS["SP_CLIENT_SECRET"],
        "SP_AUTHORITY": url,
        "SP_GRAPH_BASE_URL": f"{url}/v1.0",
        "SP_SITE_ID": "host,collection,web",
    }


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, str]], None]:
    """Makes these variables the environment of this process, as far as sources go."""

    def put(values: dict[str, str]) -> None:
        for name in list(settings.inherited()):
            if name.startswith(("EC_", "PI_", "SP_")):
                monkeypatch.delenv(name)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


class Heard:
    """What was said while something ran, in one text."""

    def __init__(self, capture: pytest.CaptureFixture[str], log: pytest.LogCaptureFixture) -> None:
        self._capture, self._log = capture, log
        self.more: list[str] = []
        log.clear()
        capture.readouterr()

    def everything(self, *folders: Path) -> str:
        output = self._capture.readouterr()
        records = [
            f"{record.getMessage()} {record.args!r} {record.exc_text or ''} {record.msg!r}"
            for record in self._log.records
        ]
        files = [
            path.read_bytes().decode("utf-8", "replace")
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file() and path.suffix in (".json", ".jsonl", "", ".log")
        ]
        return "\n".join([output.out, output.err, self._log.text, *records, *self.more, *files])


def dagster_says(folder: Path, stages: tuple[str, ...]) -> str:
    """Runs, their configuration and tags, every event and log line, of each stage and of the doctor's job."""
    told: list[str] = []
    before = {name: module for name, module in sys.modules.items() if name.startswith("pipelines.def")}
    for name in before:
        del sys.modules[name]
    try:
        factory = importlib.import_module("pipelines.defs.factory")
        examination = importlib.import_module("pipelines.defs.doctor")
        factory.RETRIES, factory.NOT_READY_RETRIES = None, 0
        with dg.DagsterInstance.ephemeral(tempdir=str(folder)) as instance:
            label = importlib.import_module("pipelines.defs.resources").workspace().latest_label.isoformat()
            for name in stages:
                dg.materialize(
                    [factory.stage_asset(name)],
                    instance=instance,
                    partition_key=label if STAGES[name].is_partitioned else None,
                    raise_on_error=False,
                )
            examination.doctor.execute_in_process(instance=instance, raise_on_error=False)
            for run in instance.get_runs():
                told.append(f"{run!r} {run.run_config!r} {run.tags!r}")
                told += [f"{entry!r} {entry.message} {entry.to_json()}" for entry in instance.all_logs(run.run_id)]
    finally:
        for name in [name for name in sys.modules if name.startswith("pipelines.def")]:
            del sys.modules[name]
        sys.modules.update(before)
    assert len(told) > 3 * len(stages)
    return "\n".join(told)


def failed_as_foreseen(text: str) -> None:
    """Every stage failed by its source's word, not by a fault of ours on the way to telling it."""
    assert all(f"stage {name} (source" in text for name in SOURCE_STAGES)
    assert text.count("; next: this run") >= len(SOURCE_STAGES)


SOURCE_STAGES = ("raw_energy_components__daily", "raw_pi__recorded_value", "raw_sharepoint__register")


@pytest.mark.parametrize(("status", "how", "gives_tokens"), WAYS)
def test_secrets_when_sources_echo_what_they_are_sent_then_nothing_tells_them(
    echo: LocalServer,
    operator: Path,
    tmp_path: Path,
    environ: Callable[[dict[str, str]], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    status: int,
    how: Callable[[str], tuple[bytes, str]],
    gives_tokens: bool,
) -> None:
    system: Any = echo.system
    system.status, system.how, system.gives_tokens = status, how, gives_tokens
    caplog.set_level(logging.DEBUG)
    heard = Heard(capsys, caplog)
    # What is echoed does hold them: otherwise this test shows nothing.
    assert any(
        form in how(f"x {SECRETS['PI_PASSWORD']}")[0].decode("utf-8", "replace")
        for form in forms(SECRETS["PI_PASSWORD"])
    )
    for pi in ("basic", "bearer"):
        values = variables(echo.url, operator, tmp_path / pi, pi=pi)
        environ(values)
        assert doctor(["--seconds", "4"]) == 1
        forget_circuits()
        # Stops at the first source; each of them fails on its own below.
        assert bootstrap.main([]) == 1
        loaded = settings.load(values)
        for name in SOURCE_STAGES:
            forget_circuits()
            heard.more.append(failure_of(name, loaded))
        forget_circuits()
    heard.more.append(dagster_says(tmp_path, SOURCE_STAGES))
    failed_as_foreseen(heard.more[-1])
    text = heard.everything(tmp_path)
    assert "asked" in text and "PI Web API" in text and "SharePoint" in text and "status" in text
    nothing_of_it(text, "what was said")


def failure_of(stage: str, loaded: settings.Settings) -> str:
    """All that an exception tells, its causes and context too."""
    from pipelines.stages.attempt import run_stage, told
    from pipelines.stages.workspace import open_workspace

    ws = open_workspace(loaded)
    try:
        run_stage(STAGES[stage], ws, [ws.latest_label])
    except Exception as error:  # noqa: BLE001 - whatever it is, its words are looked at
        return f"{told(error)} {error!r} {vars(error)} {''.join(traceback.format_exception(error))}"
    raise AssertionError(f"{stage} did not fail")


def test_secrets_when_all_is_well_then_nothing_tells_them(
    tmp_path: Path,
    operator: Path,
    environ: Callable[[dict[str, str]], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with start_simulators("sandbox", data_root=tmp_path / "data", history_days=14, pi_days=1) as running:
        values = {**known_to(running), "OPERATOR": str(operator), "HISTORY_DAYS": "3", "PI_DAYS": "1"}
        values |= {"LAKE_URL": str(tmp_path / "lake"), "WAREHOUSE_DIR": str(tmp_path / "warehouse")}
        environ(values)
        caplog.set_level(logging.DEBUG)
        heard = Heard(capsys, caplog)
        assert doctor([]) == 0
        heard.more.append(dagster_says(tmp_path / "warehouse", SOURCE_STAGES))
        text = heard.everything(tmp_path / "lake", tmp_path / "warehouse")
    assert "48 checks" in text or " ok" in text
    nothing_of_it(text, "what was said")


def known_to(running: Running) -> dict[str, str]:
    """The systems' variables, after each system has learnt the distinctive secret."""
    values = running.environment()
    for source in ("energy_components", "sharepoint"):
        system: Any = running.servers[source].system
        name = {"energy_components": "EC_API_CLIENT_SECRET", "sharepoint": "SP_CLIENT_SECRET"}[source]
        system.tokens.credentials = dataclasses.replace(system.tokens.credentials, client_secret=SECRETS[name])
        values[name] = SECRETS[name]
    pi: Any = running.servers["pi"].system
    pi.access = dataclasses.replace(pi.access, password=SECRETS["PI_PASSWORD"])
    return values | {"PI_PASSWORD": SECRETS["PI_PASSWORD"], "DATABASE_URL": SECRETS["DATABASE_URL"]}


def test_secrets_when_oracle_refuses_the_password_then_nothing_tells_it(
    tmp_path: Path,
    operator: Path,
    environ: Callable[[dict[str, str]], None],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with start_simulators(
        "sandbox",
        data_root=tmp_path / "data",
        history_days=14,
        pi_days=1,
        systems=["energy_components"],
        ec="oracle",
    ) as running:
        values = running.environment() | {
            "OPERATOR": str(operator),
            "LAKE_URL": str(tmp_path / "lake"),
            "WAREHOUSE_DIR": str(tmp_path / "warehouse"),
            "HISTORY_DAYS": "3",
            "EC_DB_PASSWORD": SECRETS["EC_DB_PASSWORD"],
            "DATABASE_URL": SECRETS["DATABASE_URL"],
        }
        environ(values)
        caplog.set_level(logging.DEBUG)
        heard = Heard(capsys, caplog)
        assert doctor([]) == 1
        assert bootstrap.main([]) == 1
        heard.more.append(failure_of("raw_energy_components__daily", settings.load(values)))
        heard.more.append(dagster_says(tmp_path / "warehouse", ("raw_energy_components__daily",)))
        text = heard.everything(tmp_path / "lake", tmp_path / "warehouse")
    assert "ORA-01017" in text and USER in text and SERVICE in text
    nothing_of_it(text, "what was said")


def test_settings_when_shown_in_any_way_then_no_secret_is_in_them(operator: Path, tmp_path: Path) -> None:
    rest = variables("http://127.0.0.1:1", operator, tmp_path)
    bearer = variables("http://127.0.0.1:1", operator, tmp_path, pi="bearer")
    oracle = {name: value for name, value in rest.items() if not name.startswith("EC_API")} | {
        "EC_DB_HOST": "h",
        "EC_DB_SERVICE_NAME": "s",
        "EC_DB_USER": "u",
        "EC_DB_PASSWORD": SECRETS["EC_DB_PASSWORD"],
    }
    held: set[str] = set()
    for values in (rest, bearer, oracle):
        loaded = settings.load(values)
        held |= {secret.reveal() for secret in secrets_of(loaded)}
        shown = [repr(loaded), str(loaded), f"{loaded}", repr(vars(loaded)), json.dumps(vars(loaded), default=str)]
        shown += [repr(dataclasses.asdict(loaded)) if _is_copied(loaded) else ""]
        nothing_of_it("\n".join(shown), "the settings")
    # Every secret that the settings know stands in this test: a new one must be added above.
    assert held == set(SECRETS.values())
    with pytest.raises(settings.SettingsError) as caught:
        settings.load({**rest, **oracle, "PI_BASE_URL": "", "SP_TENANT_ID": "", "AS_OF": "never"})
    nothing_of_it("".join(traceback.format_exception(caught.value)), "the settings' error")


def _is_copied(loaded: settings.Settings) -> bool:
    """Whether the settings can be copied deeply; a secret may refuse, which tells nothing either."""
    try:
        dataclasses.asdict(loaded)
    except TypeError as error:
        nothing_of_it(str(error), "the refusal")
        return False
    return True


def test_environment_example_when_it_names_a_secret_of_the_pipelines_then_the_settings_hold_it_as_one() -> None:
    text = (Path(__file__).parents[2] / ".env.example").read_text(encoding="utf-8")
    named = re.findall(r"^((?:EC|PI|SP|DATABASE)_[A-Z_]*(?:SECRET|PASSWORD|URL|KEY))=", text, re.MULTILINE)
    addresses = {"EC_API_BASE_URL", "EC_API_TOKEN_URL", "PI_BASE_URL", "PI_TOKEN_URL", "SP_GRAPH_BASE_URL"}
    assert set(named) - addresses == set(SECRETS)


def test_secret_when_used_carelessly_then_it_is_three_stars() -> None:
    secret = Secret(SECRETS["PI_PASSWORD"])
    assert f"{secret} {secret!r} {secret!s:>5}".split() == ["***"] * 3
    assert repr([secret]) == "[***]" and str([{"password": secret}]) == "[{'password': ***}]"
    with pytest.raises(TypeError):
        timedelta(0) + secret  # type: ignore[operator]
