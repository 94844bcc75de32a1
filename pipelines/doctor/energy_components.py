"""Energy Components: over REST the gateway and its tokens, over Oracle the login and what it may see; rows of each dataset."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import oracledb

from pipelines.doctor.address import Address, examine_address, examine_issuer
from pipelines.doctor.examination import Examination, Finding, Trouble
from pipelines.doctor.web import examine_answer, examine_token, own_way, policy_of, skew
from pipelines.settings import Clock
from pipelines.sources.config import EcOracleConfig, EcRestConfig
from pipelines.sources.ec_oracle import EcOracle
from pipelines.sources.ec_oracle_errors import as_source_error, code_of
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.energy_components import SOURCE, EnergyComponents
from pipelines.sources.errors import Asking, SourceError
from pipelines.sources.http_auth import ClientCredentials
from pipelines.sources.http_words import Redactor
from pipelines.sources.mapping import DatasetMapping

NAME = "energy_components"
Datasets = Mapping[str, DatasetMapping]
# A day without events or cargoes is no fault: so many days are looked at for a row.
SAMPLE_DAYS = 7
# Registers are read whole.
_REGISTERS = {"cargo", "capacity"}
_TOKEN = "EC_API_TOKEN_URL, EC_API_CLIENT_ID, EC_API_CLIENT_SECRET and EC_API_SCOPE"
_LOGIN = "EC_DB_HOST, EC_DB_PORT, EC_DB_SERVICE_NAME, EC_DB_USER and EC_DB_PASSWORD"
_VIEW_ADVICE = "correct energy_components.toml of the site, or grant SELECT on the view to EC_DB_USER"
_ORACLE_ADVICE = {
    "ORA-01017": "correct EC_DB_USER and EC_DB_PASSWORD; do not try often: the account locks",
    "ORA-28000": "have the account EC_DB_USER unlocked",
    "ORA-28001": "have the password of EC_DB_USER renewed, and set EC_DB_PASSWORD",
    "ORA-12514": "correct EC_DB_SERVICE_NAME, or have the service started",
    "ORA-01045": "grant CREATE SESSION to EC_DB_USER",
    "DPY-3010": "the database is older than 12.1, which the driver does not speak to",
}


def examine_rest(
    exam: Examination, config: EcRestConfig, datasets: Datasets, *, zone: str, now: Clock, latest: date
) -> None:
    """The gateway, its token endpoint, and a sample of each dataset over REST."""
    gateway = examine_address(exam, NAME, "gateway", config.base_url, "EC_API_BASE_URL")
    issuer = examine_issuer(exam, NAME, config.token_url, "EC_API_TOKEN_URL", config.base_url, gateway)
    examine_answer(exam, NAME, "gateway", config.base_url, now=now, needs=[gateway], setting="EC_API_BASE_URL")
    examine_token(
        exam,
        NAME,
        lambda http: ClientCredentials(
            http,
            token_url=config.token_url,
            client_id=config.client_id,
            client_secret=config.client_secret,
            scope=config.scope,
        ),
        needs=[issuer],
        settings=_TOKEN,
    )

    with EcRest(config, datasets, zone=zone, policy=policy_of(exam, reads=True), transport=own_way()) as client:
        for name in datasets:
            _sample(exam, client, name, latest, ["token", "gateway answer"], _rest_advice)


def examine_oracle(
    exam: Examination, config: EcOracleConfig, datasets: Datasets, *, zone: str, now: Clock, latest: date
) -> None:
    """The listener, the login, the session's clock and privileges, the mapped views and columns, and a sample of each."""
    address = Address("tcp", config.host, config.port)
    port = examine_address(exam, NAME, "listener", address, "EC_DB_HOST and EC_DB_PORT")
    seen: list[tuple[datetime, datetime]] = []
    privileges: list[str] = []

    def login() -> str:
        with _connected(config, exam.seconds) as connection, connection.cursor() as cursor:
            (at,) = cursor.execute("SELECT SYS_EXTRACT_UTC(SYSTIMESTAMP) FROM DUAL").fetchone()
            seen.append((at.replace(tzinfo=UTC), now()))
            try:
                privileges.extend(str(row[0]) for row in cursor.execute("SELECT privilege FROM session_privs"))
            except oracledb.DatabaseError as error:
                if code_of(error) != "ORA-00942":
                    raise
            version = connection.version
        return f"logged in as {config.user}; Oracle {version}"

    exam.check(NAME, "login", _in_our_words(config, login), needs=[port], settings=_LOGIN, advise=_oracle_advice)
    exam.check(NAME, "clock", lambda: skew(*seen[0]), needs=["login"])
    exam.check(NAME, "privileges", lambda: _privileges(privileges), needs=["login"])
    # The client's own preflight names what is missing in all datasets at once.
    faults: list[list[str]] = []
    with EcOracle(replace(config, timeout_seconds=exam.seconds), datasets, zone=zone) as client:
        for name, mapping in datasets.items():

            def columns(name: str = name, mapping: DatasetMapping = mapping) -> str:
                if not faults:
                    faults.append(client.preflight())
                mine = [fault for fault in faults[0] if fault.partition(":")[0] in (name, SOURCE)]
                if mine:
                    raise Trouble("; ".join(mine), _VIEW_ADVICE)
                return f"{len(mapping.columns)} mapped columns are there"

            check = f"columns of {name}"
            exam.check(NAME, check, columns, needs=["login"], settings=_LOGIN, advise=_oracle_advice)
            _sample(exam, client, name, latest, ["login", check], _oracle_advice)


def _connected(config: EcOracleConfig, seconds: float) -> oracledb.Connection:
    connection = oracledb.connect(
        user=config.user,
        password=config.password.reveal(),
        host=config.host,
        port=config.port,
        service_name=config.service_name,
        tcp_connect_timeout=min(10.0, seconds),
    )
    connection.call_timeout = int(seconds * 1000)
    return connection


def _in_our_words(config: EcOracleConfig, work: Callable[[], str]) -> Callable[[], str]:
    redact = Redactor([config.password.reveal()])

    def run() -> str:
        try:
            return work()
        except oracledb.Error as error:
            asked = f"a login as {config.user}@{config.host}:{config.port}/{config.service_name}"
            raise as_source_error(error, Asking(SOURCE, "login"), asked, redact) from None

    return run


def _privileges(found: list[str]) -> Finding:
    if not found:
        return Finding("SESSION_PRIVS is not visible: not compared with what is needed")
    more = sorted(set(found) - {"CREATE SESSION"})
    if not more:
        return Finding("CREATE SESSION only: the account cannot change anything of its own")
    named = ", ".join(more[:5]) + (f" and {len(more) - 5} more" if len(more) > 5 else "")
    return Finding(
        f"the account may more than it needs: {named}",
        "have these revoked from EC_DB_USER: CREATE SESSION and SELECT on the mapped views suffice (docs/sources.md)",
        is_warning=True,
    )


def _sample(
    exam: Examination,
    client: EnergyComponents,
    name: str,
    latest: date,
    needs: Sequence[str],
    advise: Callable[[SourceError], str],
) -> None:
    def read() -> Finding:
        first = date(1900, 1, 1) if name in _REGISTERS else latest - timedelta(days=SAMPLE_DAYS - 1)
        extract = client.read(name, first, latest)
        told = f"{extract.frame.height:,} rows {'in all' if name in _REGISTERS else f'of {first} to {latest}'}"
        if extract.rejected.height:
            advice = "compare the columns' types in energy_components.toml with the values"
            return Finding(f"{told}, {extract.rejected.height} more do not parse", advice, is_warning=True)
        if extract.frame.is_empty():
            advice = "see whether the source holds rows of these days: neither rows nor fields could be checked"
            return Finding(told, advice, is_warning=True)
        return Finding(told)

    exam.check(NAME, f"rows of {name}", read, needs=needs, advise=advise, reads=True)


def _rest_advice(error: SourceError) -> str:
    match error.status:
        case 401:
            return f"check {_TOKEN}: the gateway does not take the token"
        case 403:
            return "grant the client EC_API_CLIENT_ID reading of this path at the gateway (docs/sources.md)"
        case 404:
            return "correct EC_API_BASE_URL, or the dataset's path in energy_components.toml of the site"
        case _:
            return f"{error.next_step} (energy_components.toml of the site; EC_API_BASE_URL)"


def _oracle_advice(error: SourceError) -> str:
    text = str(error)
    found = [advice for code, advice in _ORACLE_ADVICE.items() if code in text]
    return found[0] if found else f"{error.next_step} ({_LOGIN})"
