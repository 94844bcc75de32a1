"""Facts of the tiny operator by production day: KPIs and their roll-up, drivers with the residual, events, terminal, trends."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import combinations
from statistics import median
from typing import Any

from tests.unit.warehouse import frames_reference as ref

Row = dict[str, Any]
HOURS = 24.0
# Production of the latest day, then of the days before it in turn (day 1, 2, … and round again).
PRODUCTION: dict[tuple[str, str], tuple[float, ...]] = {
    ("fs-alder", "oil"): (21_700.0, 36_000.0, 35_500.0, 37_200.0, 36_800.0),
    ("fs-birch", "oil"): (13_000.0, 18_500.0, 21_000.0, 18_000.0, 19_200.0),
    ("gp-alder", "domesticGas"): (48e6, 52e6, 54e6, 56e6, 51e6),
    ("gp-alder", "exportGas"): (96e6, 104e6, 110e6, 112e6, 101e6),
    ("fs-alder", "flaredGas"): (3.1e6, 2.0e6, 1.9e6, 2.2e6, 1.4e6),
    ("gp-alder", "flaredGas"): (4.0e6, 2.6e6, 2.4e6, 2.7e6, 2.5e6),
    ("fs-birch", "flaredGas"): (1.3e6, 0.9e6, 0.8e6, 0.95e6, 1.1e6),
}
MISSING_DAY = 3  # fs-birch's oil has no value this many days before the latest one, where there are at least 4 days
# Latest day. event, facility, network → volume, alone, gain; the first two are the domain model's worked case.
DRIVERS: dict[tuple[str, str, str], tuple[float, float, float]] = {
    ("ec:48213", "fs-alder", "oil"): (11_900.0, 14_000.0, 9_800.0),
    ("ec:48214", "fs-alder", "oil"): (2_100.0, 4_200.0, 0.0),
    ("ec:48213", "gp-alder", "exportGas"): (15e6, 15e6, 15e6),
    ("ec:48215", "fs-birch", "oil"): (6_000.0, 6_000.0, 6_000.0),
    ("ec:48215", "gp-alder", "exportGas"): (4e6, 4e6, 4e6),
    ("ec:48216", "gp-alder", "domesticGas"): (12e6, 12e6, 12e6),
}
# event → facility, target, choke, reason, title, open, planned, third party, hours
EVENTS: dict[str, Row] = {
    "ec:48213": {
        "facility_id": "fs-alder",
        "target_kind": "node",
        "target_id": "fs-alder",
        "choke": "plant",
        "reason_code": "PLT.COMP.TRIP",
        "source_code": "PL-014",
        "title": "HP compressor B trip",
        "is_open": True,
    },
    "ec:48214": {
        "facility_id": "fs-alder",
        "target_kind": "source",
        "target_id": "fs-alder",
        "choke": "wells",
        "reason_code": "WEL.SHUT",
        "source_code": "WL-002",
        "title": "Well ALD-3 shut in",
        "is_planned": True,
    },
    "ec:48215": {
        "facility_id": "fs-birch",
        "target_kind": "node",
        "target_id": "fs-birch",
        "choke": "plant",
        "reason_code": "PLT.COMP.TRIP",
        "source_code": "PL-014",
        "title": "Gas lift compressor trip",
    },
    "ec:48216": {
        "facility_id": "gp-alder",
        "target_kind": "edge",
        "target_id": "gp-alder~market-domestic~domesticGas",
        "choke": "market",
        "title": "Buyer's offtake cut",
        "is_third_party": True,
    },
}


def rows(labels: Sequence[date]) -> dict[str, list[Row]]:
    """Rows by table for the labels, oldest first."""
    latest = labels[-1]
    production = [row for label in labels for row in _nodes(label, latest, len(labels))]
    return {
        "out__daily_production": production,
        "out__daily_gap_driver": [row for label in labels for row in _drivers(label, latest, production)],
        "out__daily_event": [_event(name, latest) for name in EVENTS],
        "out__daily_terminal": [_terminal(label, latest, production) for label in labels],
        "out__hub_trend": list(_trends(labels, production)),
    }


def _end(label: date) -> datetime:
    return datetime(label.year, label.month, label.day, 5, tzinfo=UTC) + timedelta(days=1)


def _nodes(label: date, latest: date, days: int) -> Iterable[Row]:
    back = (latest - label).days
    facilities = [
        _facility(facility, hub, asset, network, label, back, days)
        for facility, _, _, hub, asset in ref.FACILITIES
        for network in ref.NETWORKS
    ]
    yield from facilities
    scopes: list[tuple[str, str, str | None, str | None]] = [
        *(("hub", hub, hub, asset) for hub, _, asset in ref.HUBS),
        *(("asset", asset, None, asset) for asset, _ in ref.ASSETS),
        ("system", "system", None, None),
    ]
    for level, node, hub, asset in scopes:
        for network in ref.NETWORKS:
            children = [
                f
                for f in facilities
                if f["network"] == network
                and f["counts_in_roll_up"]
                and (hub is None or f["hub_id"] == hub)
                and (asset is None or f["asset_id"] == asset)
            ]
            yield _parent(level, node, hub, asset, network, label, children)


def _facility(facility: str, hub: str | None, asset: str, network: str, label: date, back: int, days: int) -> Row:
    row: Row = {
        "production_date": label,
        "node_level": "facility",
        "node_id": facility,
        "network": network,
        "hub_id": hub,
        "asset_id": asset,
        "counts_in_roll_up": (facility, network) in ref.CUT,
        "day_hours": HOURS,
        "coverage": 1.0,
    }
    if (facility, network) == ("tm-east", "oil"):
        receipts = sum(
            PRODUCTION[s, "oil"][back % 5] for s in ("fs-alder", "fs-birch") if not _is_missing(s, "oil", back, days)
        )
        return row | _observed(label, back) | _rates(ref.TERMINAL_RECEIPT_CAPACITY, None, None, receipts)
    if (facility, network) == ("tm-east", "flaredGas"):
        return row | {"quality": "missing", "coverage": 0.0}
    if (facility, network) not in ref.CUT:
        zeros = _rates(0.0, 0.0, 0.0, 0.0) | {"gap": 0.0, "gap_volume": 0.0}
        return row | zeros | {"quality": "notApplicable"}
    capacity, potential, target = ref.LEVELS[facility, network]
    row |= {"target_version": ref.TARGET_VERSION, "potential_basis": "ec" if potential else None}
    if _is_missing(facility, network, back, days):
        return row | _rates(capacity, potential, target, None) | {"quality": "missing", "coverage": 0.0}
    row |= _observed(label, back) | _rates(capacity, potential, target, PRODUCTION[facility, network][back % 5])
    if network == "flaredGas":
        row |= {"deferment": 0.0, "over_performance": 0.0, "deferment_volume": 0.0, "over_performance_volume": 0.0}
        row |= {"gap": row["production"] - target, "gap_volume": (row["production"] - target) * HOURS / 24}
    return row


def _is_missing(facility: str, network: str, back: int, days: int) -> bool:
    return (facility, network, back) == ("fs-birch", "oil", MISSING_DAY) and days > MISSING_DAY


def _observed(label: date, back: int) -> Row:
    status = "provisional" if back < 2 else "approved"
    return {"quality": "good", "source": "ec", "record_status": status, "observed_at_utc": _end(label)}


def _rates(capacity: float | None, potential: float | None, target: float | None, production: float | None) -> Row:
    known = production is not None and potential is not None
    deferment = max(0.0, potential - production) if known else None  # type: ignore[operator]
    over = max(0.0, production - potential) if known else None  # type: ignore[operator]
    gap = target - production if target is not None and production is not None else None
    rates = {
        "potential": potential,
        "business_target": target,
        "production": production,
        "deferment": deferment,
        "over_performance": over,
        "gap": gap,
    }
    volumes = {f"{name}_volume": None if rate is None else rate * HOURS / 24 for name, rate in rates.items()}
    return {"max_capacity": capacity} | rates | volumes


def _parent(
    level: str, node: str, hub: str | None, asset: str | None, network: str, label: date, children: list[Row]
) -> Row:
    row: Row = {
        "production_date": label,
        "node_level": level,
        "node_id": node,
        "network": network,
        "hub_id": hub,
        "asset_id": asset,
        "counts_in_roll_up": True,
        "day_hours": HOURS,
        "coverage": 1.0,
    }
    if not children:
        zeros = _rates(0.0, 0.0, 0.0, 0.0) | {"gap": 0.0, "gap_volume": 0.0}
        return row | zeros | {"quality": "notApplicable"}
    present = [c for c in children if c["production_volume"] is not None]
    weights = [c["potential"] or 0.0 for c in children]
    total = sum(weights)
    coverage = sum(c["potential"] or 0.0 for c in present) / total if total else len(present) / len(children)
    row |= {"coverage": coverage, "max_capacity": sum(c["max_capacity"] for c in children)}
    if coverage < 0.5:
        return row | {"quality": "missing"}
    names = ("potential", "business_target", "production", "deferment", "over_performance", "gap")
    for name in names:
        values = [c[f"{name}_volume"] for c in present if c[f"{name}_volume"] is not None]
        volume = sum(values) if values else None
        row |= {f"{name}_volume": volume, name: None if volume is None else volume / (HOURS / 24)}
    return row | {
        "potential_basis": "ec" if row["potential"] is not None else None,
        "quality": "good" if len(present) == len(children) else "uncertain",
        "source": "ec",
        "record_status": present[0]["record_status"],
        "observed_at_utc": _end(label),
        "target_version": ref.TARGET_VERSION,
    }


def _drivers(label: date, latest: date, production: list[Row]) -> Iterable[Row]:
    for node in production:
        on_cut = node["node_level"] == "facility" and node["counts_in_roll_up"] and node["network"] != "flaredGas"
        if node["production_date"] != label or not on_cut or node["deferment_volume"] is None:
            continue
        where: Row = {
            "production_date": label,
            "facility_id": node["node_id"],
            "network": node["network"],
            "hub_id": node["hub_id"],
            "asset_id": node["asset_id"],
        }
        shared = 0.0
        for (event, facility, network), (volume, alone, gain) in DRIVERS.items():
            if label != latest or (facility, network) != (node["node_id"], node["network"]):
                continue
            shared += volume
            facts = EVENTS[event]
            yield where | {
                "event_id": event,
                "cause_node_id": facts["target_id"],
                "volume": volume,
                "volume_if_alone": alone,
                "gain_if_fixed": gain,
                "hours": HOURS,
                "choke": facts["choke"],
                "reason_code": facts.get("reason_code"),
                "is_planned": facts.get("is_planned", False),
                "is_third_party": facts.get("is_third_party", False),
                "confidence": 0.567,
                "source": "ec",
            }
        yield where | {"event_id": "unattributed", "volume": node["deferment_volume"] - shared, "source": "residual"}


def _event(name: str, latest: date) -> Row:
    facts = {"is_open": False, "is_planned": False, "is_third_party": False} | EVENTS[name]
    oil = sum(v[1] for (e, _, network), v in DRIVERS.items() if e == name and network == "oil")
    gas = sum(v[1] for (e, _, network), v in DRIVERS.items() if e == name and network != "oil")
    end = _end(latest)
    return facts | {
        "production_date": latest,
        "event_id": name,
        "started_at_utc": end - timedelta(hours=HOURS),
        "ended_at_utc": None if facts["is_open"] else end,
        "hours": HOURS,
        "oil_loss_bbl": oil or None,
        "gas_loss_scf": gas or None,
        "confidence": 0.567,
        "source": "ec",
        "evidence": f"ec:DEFERMENT_EVENT/{name.removeprefix('ec:')}@1",
    }


def _terminal(label: date, latest: date, production: list[Row]) -> Row:
    receipts = next(
        r["production"]
        for r in production
        if (r["production_date"], r["node_id"], r["network"]) == (label, "tm-east", "oil")
    )
    back = (latest - label).days
    stock = 2_748_000.0 - 30_000.0 * (back % 30)  # a cargo of 900,000 bbl leaves every 30 days
    ready = receipts * 0.993
    return {
        "production_date": label,
        "terminal_id": "tm-east",
        "asset_id": "east",
        "max_capacity": 4_500_000.0,
        "gross_stock": stock,
        "ready_stock": stock - 300_000.0,
        "ullage": 4_500_000.0 - stock,
        "production_rate": receipts,
        "ready_crude": ready,
        "endurance": (4_500_000.0 - stock) / receipts,
        "stock_cover": (stock - 300_000.0) / receipts,
        "lifted": 900_000.0 if back % 30 == 29 else 0.0,
        "quality": "good",
        "measured_at_utc": _end(label),
        "source": "pi",
    }


def _trends(labels: Sequence[date], production: list[Row]) -> Iterable[Row]:
    hubs = [r for r in production if r["node_level"] == "hub"]
    for label in labels:
        for hub, _, asset in ref.HUBS:
            for network in ref.NETWORKS:
                series = {r["production_date"]: r for r in hubs if (r["node_id"], r["network"]) == (hub, network)}
                for days in (7, 30, 90):
                    window = _window(series, label, days)
                    yield {
                        "production_date": label,
                        "hub_id": hub,
                        "network": network,
                        "window_days": days,
                        "asset_id": asset,
                        **_statistics(window, _window(series, label - timedelta(days=days), days), network),
                        # The slope of every pair is slow in Python: only for the labels that anyone asks for.
                        "trend_per_day": _slope(window) if label >= labels[-1] - timedelta(days=1) else None,
                    }


def _window(series: dict[date, Row], last: date, days: int) -> list[Row]:
    labels = [last - timedelta(days=back) for back in range(days - 1, -1, -1)]
    return [series[d] for d in labels if d in series and series[d].get("production") is not None]


def _statistics(window: list[Row], before: list[Row], network: str) -> Row:
    average = sum(r["production"] for r in window) / len(window) if window else None
    previous = sum(r["production"] for r in before) / len(before) if before else None
    potential = sum(r["potential"] or 0.0 for r in window)
    return {
        "complete_days": len(window),
        "average": average,
        "days_on_target": sum(
            (r["production"] <= r["business_target"]) == (network == "flaredGas")
            or r["production"] == r["business_target"]
            for r in window
        ),
        "previous_average": previous,
        "change_fraction": (average - previous) / previous if average is not None and previous else None,
        "production_efficiency": sum(r["production"] for r in window) / potential if potential else None,
    }


def _slope(window: list[Row]) -> float | None:
    slopes = [
        (b["production"] - a["production"]) / (b["production_date"] - a["production_date"]).days
        for a, b in combinations(window, 2)
    ]
    return median(slopes) if slopes else None
