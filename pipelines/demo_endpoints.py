"""The demo's table: what each endpoint answers, called as a stranger would."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

Say = Callable[[str], None]


@dataclass(frozen=True)
class Call:
    """One call of the table: what to ask, which status is right, and what of the answer to show."""

    path: str
    show: Callable[[Any], str]
    status: int = 200
    is_json: bool = True


def _network(kpi: dict[str, Any], unit: str) -> str:
    produced = kpi["currentProduction"]
    return f"{produced:,.0f} {unit}" if produced is not None else f"no value ({kpi['quality']})"


def _summary(body: Any) -> str:
    oil = body["networks"]["oil"]
    return f"{body['productionDate']}: oil {_network(oil, body['uom']['oil'])}, {len(body['assets'])} assets"


def _assets(body: Any) -> str:
    facilities = sum(len(hub["facilities"]) for asset in body for hub in asset["hubs"])
    terminals = sum(len(asset["terminals"]) for asset in body)
    return f"{len(body)} assets, {facilities} facilities in hubs, {terminals} terminals"


def _drivers(body: Any) -> str:
    found = {name: len(network["drivers"]) for name, network in body["networks"].items()}
    return "drivers " + ", ".join(f"{name} {count}" for name, count in found.items())


def _flow(body: Any) -> str:
    return f"{len(body['units'])} units, {len(body['facilities'])} facilities, {len(body['edges'])} edges"


def _terminal(body: Any) -> str:
    stock, endurance = body["grossStock"], body["endurance"]
    days = f"{endurance:.1f} d to tank-top" if endurance is not None else "endurance unknown"
    return f"stock {stock:,.0f} bbl, {days}" if stock is not None else "stock unknown"


def _performance(body: Any) -> str:
    return f"{len(body['points'])} points, {body['completeDays']} complete days"


def _reconciliation(body: Any) -> str:
    meters = [meter["flag"] for system in body["systems"] for meter in system["meters"]]
    return f"{len(body['systems'])} systems, {len(meters)} meters, {meters.count('grossError')} in gross error"


def _changes(body: Any) -> str:
    return f"{len(body['changes'])} restated values since {body['since']}"


def _releases(body: Any) -> str:
    return f"{len(body['releases'])} kept releases"


def _explanation(body: Any) -> str:
    return f"{body['value']:,.0f} {body['unit']} from {len(body['inputs'])} inputs, reproduced: {body['isReproduced']}"


def _facility(body: Any) -> str:
    series = body["series"]
    return f"{body['status']}, {series['completeDays']} complete days, {body['openEventCount']} open events"


def _events(body: Any) -> str:
    return f"{len(body['events'])} of {body['total']} events from {body['from']}"


def _freshness(body: Any) -> str:
    return f"{body['status']}: " + ", ".join(f"{source['source']} {source['status']}" for source in body["sources"])


def _dictionary(body: Any) -> str:
    return f"{len(body['fields'])} fields"


def _file(response: Any) -> str:
    return str(response.headers["content-disposition"].partition("filename=")[2])


def _ready(body: Any) -> str:
    return str(body.get("dataVersion") or body.get("status") or "ready")


def _openapi(body: Any) -> str:
    return f"OpenAPI {body['openapi']}, {len(body['paths'])} paths"


def _problem(body: Any) -> str:
    return f"problem: {body['title']}"


def call_every_endpoint(base: str, say: Say) -> list[str]:
    """Call every endpoint, print a row each, return the paths whose answer was not right."""
    failures: list[str] = []
    say("")
    say(f"{'endpoint':<66}{'status':>7}{'bytes':>9}{'ms':>8}  answer")
    with httpx.Client(base_url=base, timeout=30.0, trust_env=False) as client:
        for call in _calls(client):
            begun = time.perf_counter()
            try:
                response = client.get(call.path)
                shown = call.show(response.json() if call.is_json else response)
                is_right = response.status_code == call.status
                status, size = str(response.status_code), len(response.content)
            except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                is_right, status, size, shown = False, "–", 0, f"{type(error).__name__}: {error}"
            milliseconds = (time.perf_counter() - begun) * 1e3
            mark = "" if is_right else "   ← WRONG"
            say(f"{call.path:<66}{status:>7}{size:>9,}{milliseconds:>8.1f}  {shown}{mark}")
            if not is_right:
                failures.append(call.path)
    return failures


def _calls(client: httpx.Client) -> list[Call]:
    flow = client.get("/api/v1/production-flow").raise_for_status().json()
    hub = next((u["id"] for u in flow["units"]), None)
    terminals = [f["id"] for f in flow["facilities"] if f["type"] == "terminal"]
    facility = next((f["id"] for f in flow["facilities"] if f["type"] != "terminal"), flow["facilities"][0]["id"])
    asset = flow["facilities"][0]["assetId"]
    calls = [
        Call("/api/v1/summary", _summary),
        Call("/api/v1/assets", _assets),
        Call("/api/v1/gap-drivers", _drivers),
        Call(f"/api/v1/gap-drivers?assetId={asset}&window=30d", _drivers),
        Call(f"/api/v1/gap-drivers?facilityIds={facility}&network=oil", _drivers),
        Call("/api/v1/production-flow", _flow),
        *(Call(f"/api/v1/terminal/{terminal}/operations", _terminal) for terminal in terminals),
    ]
    if hub is not None:
        calls += [Call(f"/api/v1/hubs/{hub}/performance?window={w}", _performance) for w in ("7d", "30d", "90d")]
    return [
        *calls,
        Call(f"/api/v1/facilities/{facility}", _facility),
        Call("/api/v1/events?limit=20", _events),
        Call("/api/v1/data-freshness", _freshness),
        Call("/api/v1/data-dictionary", _dictionary),
        *(
            Call(f"/api/v1/exports/{dataset}?format={name}", _file, is_json=False)
            for dataset, name in (
                ("production_daily", "parquet"),
                ("event", "csv"),
                ("terminal_daily", "xlsx"),
                ("facility", "arrow"),
            )
        ),
        Call("/api/v1/reconciliation?network=oil", _reconciliation),
        Call("/api/v1/changes", _changes),
        Call("/api/v1/data-releases", _releases),
        Call("/api/v1/explain?path=/summary%23/networks/oil/deferment", _explanation),
        Call("/api/v1/openapi.json", _openapi),
        Call("/healthz", _ready),
        Call("/readyz", _ready),
        Call("/api/v1/summary?unknown=1", _problem, status=400),
    ]
