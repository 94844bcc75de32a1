"""Reference tables of the tiny operator: hierarchy, networks, edges, targets, cargoes, tags, freshness."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

Rows = dict[str, list[dict[str, Any]]]

START = date(2020, 1, 1)
ASSETS = (("east", "East"), ("west", "West"))
HUBS = (("hub-alder", "Alder", "east"), ("hub-birch", "Birch", "west"))
# facility, name, type, hub, asset
FACILITIES = (
    ("fs-alder", "Alder Flowstation", "flowstation", "hub-alder", "east"),
    ("gp-alder", "Alder Gas Plant", "gas-plant", "hub-alder", "east"),
    ("fs-birch", "Birch Flowstation", "flowstation", "hub-birch", "west"),
    ("tm-east", "East Terminal", "terminal", None, "east"),
)
NETWORKS = ("oil", "domesticGas", "exportGas", "flaredGas")
CUT = {
    ("fs-alder", "oil"),
    ("fs-birch", "oil"),
    ("gp-alder", "domesticGas"),
    ("gp-alder", "exportGas"),
    ("fs-alder", "flaredGas"),
    ("gp-alder", "flaredGas"),
    ("fs-birch", "flaredGas"),
}
# Off the cut but served: the terminal's receipts, and a flare nobody meters.
OFF_CUT = {("tm-east", "oil"), ("tm-east", "flaredGas")}
# (facility, network) → maximum capacity, potential, business target
LEVELS: dict[tuple[str, str], tuple[float, float | None, float]] = {
    ("fs-alder", "oil"): (50_000.0, 38_000.0, 34_000.0),
    ("fs-birch", "oil"): (30_000.0, 20_000.0, 19_000.0),
    ("gp-alder", "domesticGas"): (90e6, 60e6, 55e6),
    ("gp-alder", "exportGas"): (150e6, 120e6, 110e6),
    ("fs-alder", "flaredGas"): (6e6, None, 1.5e6),
    ("gp-alder", "flaredGas"): (9e6, None, 2.5e6),
    ("fs-birch", "flaredGas"): (4e6, None, 1.0e6),
}
TERMINAL_RECEIPT_CAPACITY = 90_000.0
TARGET_VERSION = "2026.2"
# from, to, network, stream, capacity, on the cut
EDGES = (
    ("fs-alder", "tm-east", "oil", "netOil", 60_000.0, True),
    ("fs-birch", "tm-east", "oil", "netOil", 30_000.0, True),
    ("tm-east", "export-oil", "oil", "crude", None, False),
    ("fs-alder", "gp-alder", "domesticGas", "rawGas", 300e6, False),
    ("fs-alder", "gp-alder", "exportGas", "rawGas", 300e6, False),
    ("gas-field", "gp-alder", "domesticGas", "rawGas", None, False),
    ("gas-field", "gp-alder", "exportGas", "rawGas", None, False),
    ("gp-alder", "market-domestic", "domesticGas", "salesGas", 80e6, True),
    ("gp-alder", "export-gas", "exportGas", "salesGas", None, True),
)
EXTERNALS = (
    ("export-oil", "Crude export", "export", "oil"),
    ("gas-field", "Non-associated gas", "source", None),
    ("market-domestic", "Domestic market", "market", "domesticGas"),
    ("export-gas", "Gas export", "export", "exportGas"),
)


def rows(labels: Sequence[date]) -> Rows:
    """Rows by table for the labels, oldest first."""
    latest = labels[-1]
    end = datetime(latest.year, latest.month, latest.day, 5, tzinfo=UTC) + timedelta(days=1)
    names = dict(ASSETS)
    hub_names = {hub: name for hub, name, _ in HUBS}
    facilities: list[dict[str, Any]] = [
        {
            "facility_id": facility,
            "name": name,
            "facility_type": kind,
            "hub_id": hub,
            "hub_name": hub_names.get(hub or ""),
            "asset_id": asset,
            "asset_name": names[asset],
        }
        for facility, name, kind, hub, asset in FACILITIES
    ]
    edges: list[dict[str, Any]] = [
        {
            "edge_id": f"{a}~{b}~{network}",
            "from_id": a,
            "to_id": b,
            "network": network,
            "stream": stream,
            "capacity": capacity,
            "on_cut": on_cut,
        }
        for a, b, network, stream, capacity, on_cut in EDGES
    ]
    return {
        "asset": [{"asset_id": a, "name": n, "position": i} for i, (a, n) in enumerate(ASSETS)],
        "hub": [{"hub_id": h, "name": n, "asset_id": a, "position": i} for i, (h, n, a) in enumerate(HUBS)],
        "facility": [f | {"position": i} for i, f in enumerate(facilities)],
        "facility_version": [
            f | {"valid_from": START, "zone": "Africa/Lagos", "day_start": "06:00"} for f in facilities
        ],
        "facility_network": [
            {
                "facility_id": facility,
                "network": network,
                "counts_in_roll_up": (facility, network) in CUT,
                "is_applicable": (facility, network) in CUT | OFF_CUT,
            }
            for facility, *_ in FACILITIES
            for network in NETWORKS
        ],
        "external_node": [{"external_id": e, "name": n, "kind": k, "network": w} for e, n, k, w in EXTERNALS],
        "edge": edges,
        "edge_version": [e | {"valid_from": START} for e in edges],
        "reason_code": [
            _reason("PLT", None, "Plant", "plant"),
            _reason("PLT.COMP.TRIP", "PLT", "Compressor trip", "plant"),
            _reason("WEL", None, "Wells", "wells"),
            _reason("WEL.SHUT", "WEL", "Well shut-in", "wells"),
        ],
        "target": [
            {
                "version": TARGET_VERSION,
                "node_id": facility,
                "network": network,
                "valid_from": date(2026, 1, 1),
                "value": levels[2],
                "published_at_utc": datetime(2025, 12, 15, 9, tzinfo=UTC),
                "approved_by": "Planning",
            }
            for (facility, network), levels in LEVELS.items()
        ],
        "cargo": [
            _cargo("EAST-2026-031", 950_000.0, latest + timedelta(days=5), "nominated", None),
            _cargo(
                "EAST-2026-030", 900_000.0, latest - timedelta(days=30), "lifted", end - timedelta(days=29, hours=9)
            ),
        ],
        "cargo_forecast_daily": [
            {
                "terminal_id": "tm-east",
                "date": latest + timedelta(days=ahead),
                "stock_p10": 2_700_000.0 + 30_000 * ahead,
                "stock_p50": 2_748_000.0 + 40_000 * ahead,
                "stock_p90": 2_790_000.0 + 50_000 * ahead,
                "tank_top_probability": 0.0,
                "not_ready_probability": 0.1,
            }
            for ahead in (1, 2, 3)
        ],
        "reading_daily": [
            {
                "tag_id": tag_id,
                "tag_name": tag,
                "production_date": label,
                "facility_id": facility,
                "measurement": "rate",
                "unit": unit,
                "time_weighted_mean": mean,
                "good_fraction": 0.99,
                "sample_count": 1440,
                "frozen_fraction": 0.0,
                "quality": "good",
            }
            for label in labels
            for tag_id, tag, facility, unit, mean in (
                (1, "ALD.FT101.OIL", "fs-alder", "bbl/d", 36_000.0),
                (2, "ALD.FT201.FLARE", "fs-alder", "scf/d", 2.0e6),
            )
        ],
        "restatement": [
            {
                "what": "production_daily.production",
                "entity_id": "fs-alder/oil",
                "production_date": labels[0],
                "known_at_utc": end,
                "old_value": 36_200.0,
                "new_value": 36_000.0,
                "delta": -200.0,
                "reason": "provisional row replaced",
            }
        ],
        "quarantine": [
            {
                "source": "energy_components",
                "dataset": "stream_day",
                "production_date": labels[0],
                "row_id": "0f3a",
                "rule": "known_stream",
                "reason": "stream X is in no reference file",
                "raw": '{"STREAM_CODE":"X"}',
                "rejected_at_utc": end,
            }
        ],
        "intraday": [
            {
                "facility_id": facility,
                "network": network,
                "production_date": labels[-1] + timedelta(days=1),
                "from_utc": end,
                "to_utc": end + timedelta(hours=4),
                "rate": rate,
                "percent_good": percent,
                "observed_at_utc": None if rate is None else end + timedelta(hours=4),
                "quality": quality,
            }
            for facility, network, rate, percent, quality in (
                ("fs-alder", "oil", 24_000.0, 99.5, "good"),
                ("fs-alder", "flaredGas", 2.9e6, 62.5, "uncertain"),
                ("gp-alder", "domesticGas", None, 0.0, "missing"),
            )
        ],
        "source_freshness": [
            {"source": source, "data_as_of_utc": end, "last_success_at_utc": end, "sla_seconds": hours * 3600}
            for source, hours in (("energy_components", 30), ("pi", 2), ("sharepoint", 168))
        ],
    }


def _reason(code: str, parent: str | None, title: str, choke: str) -> dict[str, Any]:
    return {
        "reason_code": code,
        "valid_from": START,
        "parent_code": parent,
        "title": title,
        "choke": choke,
        "is_planned": False,
        "is_third_party": False,
    }


def _cargo(cargo: str, parcel: float, start: date, status: str, lifted: datetime | None) -> dict[str, Any]:
    return {
        "cargo_id": cargo,
        "terminal_id": "tm-east",
        "parcel": parcel,
        "laycan_start": start,
        "laycan_end": start + timedelta(days=2),
        "status": status,
        "lifted_at_utc": lifted,
    }
