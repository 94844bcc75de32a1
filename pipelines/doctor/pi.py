"""PI Web API: the server, the login, the data archive, every tag of the site against its points, and a few values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta

from pipelines.doctor.address import examine_address, examine_issuer
from pipelines.doctor.examination import Examination, Finding, Trouble
from pipelines.doctor.web import examine_answer, examine_token, own_way, policy_of
from pipelines.settings import Clock
from pipelines.sources.config import PiConfig
from pipelines.sources.errors import SourceError
from pipelines.sources.http import Http
from pipelines.sources.http_auth import ClientCredentials
from pipelines.sources.pi_web_api import PiClient

NAME = "pi"
# Values of so many tags over a day tell whether data may be read.
SAMPLE_TAGS = 5
SAMPLE_SPAN = timedelta(days=1)
_MOST_NAMED = 10
# A point that every new archive has; asked for where the site names no tag.
_ANY_TAG = "SINUSOID"
_LOGIN = {
    "basic": "PI_USERNAME and PI_PASSWORD",
    "bearer": "PI_TOKEN_URL, PI_CLIENT_ID, PI_CLIENT_SECRET and PI_SCOPE",
    "kerberos": "the Kerberos ticket of this machine's account (klist) and the service's name HTTP/host",
    "anonymous": "PI_AUTH_MODE",
}


def examine_pi(
    exam: Examination, config: PiConfig, tags: Mapping[str, int], register: Collection[str], *, now: Clock
) -> None:
    """Every check of PI. `tags` are the site's (name → id), `register` the names that SharePoint's register holds."""
    server = examine_address(exam, NAME, "server", config.base_url, "PI_BASE_URL")
    examine_answer(exam, NAME, "server", config.base_url, now=now, needs=[server], setting="PI_BASE_URL")
    before = ["server answer"]
    if config.auth_mode == "bearer":
        issuer = examine_issuer(exam, NAME, config.token_url, "PI_TOKEN_URL", config.base_url, server)
        examine_token(exam, NAME, lambda http: _credentials(config, http), needs=[issuer], settings=_LOGIN["bearer"])
        before.append("token")
    exam.check(
        NAME,
        "login",
        lambda: _login(exam, config, next(iter(tags), _ANY_TAG)),
        needs=before,
        settings=_LOGIN[config.auth_mode],
        advise=lambda error: _advice(config, error),
    )
    existing: set[str] = set()
    exam.check(
        NAME,
        "points of tags.csv",
        lambda: _points(exam, config, tags, existing, "tags.csv"),
        needs=["login"],
        advise=lambda error: _advice(config, error),
        reads=True,
    )
    if register:
        exam.check(
            NAME,
            "points of the tag register",
            lambda: _points(exam, config, register, set(), "the tag register in SharePoint"),
            needs=["login"],
            advise=lambda error: _advice(config, error),
            reads=True,
        )
    if not existing:
        if tags:
            exam.skip(NAME, ["values"], "it needs points of tags.csv, and none is there")
        return
    few = {name: tags[name] for name in sorted(existing)[:SAMPLE_TAGS]}
    exam.check(
        NAME,
        "values",
        lambda: _values(exam, config, few, now),
        needs=["login"],
        advise=lambda error: _advice(config, error),
        reads=True,
    )


def _client(exam: Examination, config: PiConfig) -> PiClient:
    return PiClient(config, policy=policy_of(exam, reads=True), transport=own_way())


def _credentials(config: PiConfig, http: Http) -> ClientCredentials:
    return ClientCredentials(
        http,
        token_url=config.token_url,
        client_id=config.client_id,
        client_secret=config.client_secret,
        scope=config.scope,
    )


def _login(exam: Examination, config: PiConfig, tag: str) -> str:
    """Asks for the data archive and one of its points, there or not: the first questions that need an identity."""
    with PiClient(config, policy=policy_of(exam), transport=own_way()) as client:
        client.points([tag])
    return f"{config.auth_mode}: the data archive is there and may be asked"


def _points(exam: Examination, config: PiConfig, names: Collection[str], existing: set[str], where: str) -> Finding:
    if not names:
        return Finding(f"{where} names no tag")
    with _client(exam, config) as client:
        existing.update(client.points(names))
    missing = sorted(set(names) - existing)
    if not missing:
        return Finding(f"all {len(names)} tags have their point")
    shown = ", ".join(missing[:_MOST_NAMED]) + (
        f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    )
    raise Trouble(
        f"{len(missing)} of {len(names)} tags have no point, or it may not be seen: {shown}",
        f"correct the names in {where}, or grant the identity read access to these points (point security, docs/sources.md)",
    )


def _values(exam: Examination, config: PiConfig, tags: Mapping[str, int], now: Clock) -> Finding:
    until = now()
    with _client(exam, config) as client:
        extract = client.recorded(tags, until - SAMPLE_SPAN, until, dataset="sample")
    told = f"{extract.frame.height:,} values of {len(tags)} tags in the day before {until:%Y-%m-%d %H:%M} UTC"
    if extract.missing:
        reasons = "; ".join(extract.warnings)
        raise Trouble(
            f"{told}; not read: {reasons}", "grant the identity read access to these points' data (data security)"
        )
    if extract.frame.is_empty():
        return Finding(
            told, "see whether the archive collects these tags, and the identity may read their data", is_warning=True
        )
    return Finding(told)


def _advice(config: PiConfig, error: SourceError) -> str:
    match error.status:
        case 401:
            return (
                f"check PI_AUTH_MODE={config.auth_mode} against what the server offers, and {_LOGIN[config.auth_mode]}"
            )
        case 403:
            return "give the identity a PI mapping with read access (docs/sources.md); a gateway may refuse it too"
        case 404:
            return "correct PI_BASE_URL: it ends with /piwebapi"
        case _:
            return f"{error.next_step} (PI_BASE_URL; {_LOGIN[config.auth_mode]})"
