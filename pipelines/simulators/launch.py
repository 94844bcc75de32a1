"""Starts the source systems of an operator on loopback and says how to reach them.

The environment it gives is exactly what the pipelines read; addresses and secrets are new in each run.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Literal

from pipelines.simulators.ec_rest import BASE as EC_BASE
from pipelines.simulators.ec_rest import TOKEN as EC_TOKEN
from pipelines.simulators.ec_rest import EnergyComponentsRest
from pipelines.simulators.faults import Faults
from pipelines.simulators.graph import BASE as GRAPH_BASE
from pipelines.simulators.graph import Graph, GraphSite
from pipelines.simulators.graph_drive import DownloadHost, DownloadLinks
from pipelines.simulators.launch_operator import (
    SYSTEMS,
    Operator,
    OperatorError,
    Progress,
    load_operator,
    replay_folder,
)
from pipelines.simulators.pi_web_api import PiAccess, PiWebApi
from pipelines.simulators.pi_web_api_context import BASE as PI_BASE
from pipelines.simulators.replay_energy_components import EnergyComponentsReplay
from pipelines.simulators.replay_pi import PiReplay
from pipelines.simulators.replay_sharepoint import SharePointReplay
from pipelines.simulators.server import LocalServer
from pipelines.simulators.server_clock import Clock
from pipelines.simulators.server_oauth import ClientCredentials

Transport = Literal["rest", "oracle"]


@dataclass(slots=True, kw_only=True)
class Running:
    """The systems that run; stop them or leave the context.

    ``servers``: by name (``energy_components``, ``pi``, ``sharepoint``, ``download``); each can be stopped and started
    again on its port, and its ``system.faults`` armed. ``clock`` is shared by all of them.
    """

    operator: Operator
    data_folder: Path
    clock: Clock
    servers: dict[str, LocalServer] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    closing: ExitStack = field(default_factory=ExitStack)

    def environment(self) -> dict[str, str]:
        """The variables that point the pipelines at these systems."""
        return dict(self.variables)

    def faults(self, system: str) -> Faults:
        """The faults of one HTTP system."""
        return self.servers[system].system.faults

    def stop(self) -> None:
        """Stop every server, the latest started first."""
        self.closing.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_simulators(
    operator: str,
    *,
    data_root: Path,
    now: datetime | None = None,
    history_days: int = 200,
    pi_days: int = 14,
    ports: Mapping[str, int] | None = None,
    systems: Collection[str] | None = None,
    progress: Progress | None = None,
    ec: Transport = "rest",
) -> Running:
    """Start the systems of ``operator`` (a name or a path), each on its own loopback port (``ports``; 0: a free one).

    ``now`` holds the systems' clock; without it a replay's is its ``as_of`` and a generated operator's the machine's.
    ``systems`` starts only some. Raises ``OperatorError``, ``ReplayError`` or ``ServerStartError``, nothing left running.
    """
    report = progress or (lambda _: None)
    site = load_operator(operator)
    wanted = site.systems if systems is None else tuple(name for name in SYSTEMS if name in systems)
    absent = sorted(set(wanted) - set(site.systems))
    if absent:
        message = f"operator {operator!r} has no {', '.join(absent)}; it has {', '.join(site.systems)}"
        raise OperatorError(message)
    if now is None and site.data is not None:
        now = site.as_of
    clock = Clock(now)
    folder = replay_folder(
        site,
        data_root,
        now=now or datetime.now(UTC),
        history_days=history_days,
        pi_days=pi_days,
        progress=report,
    )
    running = Running(operator=site, data_folder=folder, clock=clock)
    running.variables["OPERATOR"] = operator
    starters = {
        "energy_components": _start_oracle if ec == "oracle" else _start_rest,
        "pi": _start_pi,
        "sharepoint": _start_sharepoint,
    }
    try:
        for name in wanted:
            starters[name](running, dict(ports or {}))
            report(f"{name} listens: {_address(running, name, ec)}")
    except BaseException:
        running.stop()
        raise
    return running


def _address(running: Running, name: str, ec: Transport) -> str:
    variables = running.variables
    if name == "energy_components" and ec == "oracle":
        return f"{variables['EC_DB_HOST']}:{variables['EC_DB_PORT']}/{variables['EC_DB_SERVICE_NAME']}"
    return running.servers[name].url


def _serve(running: Running, name: str, server: LocalServer) -> LocalServer:
    running.servers[name] = running.closing.enter_context(server)
    return server


def _start_rest(running: Running, ports: Mapping[str, int]) -> None:
    replay = EnergyComponentsReplay(running.data_folder / "energy_components")
    client = ClientCredentials("production-gap", secrets.token_urlsafe(16), "ec.read")
    system = EnergyComponentsRest(replay, client, clock=running.clock)
    server = _serve(running, "energy_components", LocalServer(system, port=ports.get("energy_components", 0)))
    running.variables |= {
        "EC_API_BASE_URL": f"{server.url}{EC_BASE}",
        "EC_API_TOKEN_URL": f"{server.url}{EC_TOKEN}",
        "EC_API_CLIENT_ID": client.client_id,
        "EC_API_CLIENT_SECRET": client.client_secret,
        "EC_API_SCOPE": client.scope,
    }


def _start_oracle(running: Running, ports: Mapping[str, int]) -> None:
    # Imported late: the wire protocol is heavy and seldom wanted.
    from pipelines.simulators.ec_oracle import SERVICE, USER, OracleServer

    replay = EnergyComponentsReplay(running.data_folder / "energy_components")
    password = secrets.token_urlsafe(16)
    server = OracleServer(replay, password=password, clock=running.clock, port=ports.get("energy_components", 0))
    running.closing.enter_context(server)
    running.variables |= {
        "EC_DB_HOST": server.host,
        "EC_DB_PORT": str(server.port),
        "EC_DB_SERVICE_NAME": SERVICE,
        "EC_DB_USER": USER,
        "EC_DB_PASSWORD": password,
    }


def _start_pi(running: Running, ports: Mapping[str, int]) -> None:
    replay = PiReplay(running.data_folder / "pi")
    access = PiAccess(method="Basic", username="pi-reader", password=secrets.token_urlsafe(16))
    system = PiWebApi(replay, access, clock=running.clock, zone=running.operator.zone)
    server = _serve(running, "pi", LocalServer(system, port=ports.get("pi", 0)))
    running.variables |= {
        "PI_BASE_URL": f"{server.url}{PI_BASE}",
        "PI_AUTH_MODE": "basic",
        "PI_USERNAME": access.username,
        "PI_PASSWORD": access.password,
    }


def _start_sharepoint(running: Running, ports: Mapping[str, int]) -> None:
    replay = SharePointReplay(running.data_folder / "sharepoint", zone=running.operator.zone)
    tenant = "6f1f3f0a-1d5e-4a52-8a53-3d0f5f5b7c10"
    site = GraphSite(tenant=tenant, host=f"{running.operator.name}.sharepoint.example")
    client = ClientCredentials("production-gap", secrets.token_urlsafe(16), "https://graph.microsoft.com/.default")
    # The redirects of the one name the other's port, so the download host listens first.
    links = DownloadLinks(running.clock)
    download = LocalServer(DownloadHost(links, clock=running.clock), port=ports.get("download", 0))
    _serve(running, "download", download)
    links.origin = download.url
    system = Graph(replay, site, client, links=links, clock=running.clock)
    server = _serve(running, "sharepoint", LocalServer(system, port=ports.get("sharepoint", 0)))
    running.variables |= {
        "SP_TENANT_ID": tenant,
        "SP_CLIENT_ID": client.client_id,
        "SP_CLIENT_SECRET": client.client_secret,
        "SP_AUTHORITY": server.url,
        "SP_GRAPH_SCOPE": client.scope,
        "SP_GRAPH_BASE_URL": f"{server.url}{GRAPH_BASE}",
        "SP_SITE_ID": site.site_id,
        "SP_DRIVE_ID": site.drive_id,
    }
