"""Rows of events to the contract's structs: for the paged list, and for the open events of a facility."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from api.contracts.events import EnteredLoss, Event, EventFacility, EventNetworks, EventVolume
from api.kpis import Row
from api.units import PRODUCTION_NETWORKS, rounded
from api.view import View


@dataclass(frozen=True)
class Filters:
    """Which events are asked for; None: all."""

    first: date
    last: date
    facility_id: str | None = None
    asset_id: str | None = None
    network: str | None = None
    source: str | None = None
    is_open: bool | None = None


@dataclass(frozen=True)
class Page:
    """Events of a page; `total` counts those of all pages, `last` is the row to go on from, None where there are no more."""

    events: list[Event]
    total: int
    last: Row | None


def event_page(view: View, filters: Filters, limit: int, after: tuple[int, str] | None = None) -> Page:
    """At most `limit` events after the position and id, newest start first."""
    position, event_id = after or (None, None)
    rows = view.query(
        "event_page",
        first_date=filters.first,
        last_date=filters.last,
        facility_id=filters.facility_id,
        asset_id=filters.asset_id,
        network=filters.network,
        source=filters.source,
        is_open=filters.is_open,
        after_position=position,
        after_event_id=event_id,
        row_limit=limit + 1,  # one more tells whether there is a next page
    )
    listed = rows[:limit]
    shares: dict[str, list[Row]] = {}
    if listed:
        for row in view.query(
            "event_share",
            event_ids=[row["event_id"] for row in listed],
            first_date=filters.first,
            last_date=filters.last,
            facility_id=filters.facility_id,
            asset_id=filters.asset_id,
            network=filters.network,
        ):
            shares.setdefault(row["event_id"], []).append(row)
    return Page(
        events=[_event(view, row, shares.get(row["event_id"], [])) for row in listed],
        total=rows[0]["total"] if rows else 0,
        last=listed[-1] if len(rows) > limit else None,
    )


def _event(view: View, row: Row, shares: Sequence[Row]) -> Event:
    oil, domestic, export = (_volume(view, network, shares) for network in PRODUCTION_NETWORKS)
    return Event(
        id=row["event_id"],
        title=row["title"],
        facility_id=row["facility_id"],
        hub_id=row["hub_id"],
        asset_id=row["asset_id"],
        target_kind=row["target_kind"],
        target_id=row["target_id"],
        started_at=_utc(row["started_at_utc"]),
        ended_at=_utc(row["ended_at_utc"]),
        open=row["is_open"],
        last_read_on=row["read_on"],
        hours=rounded(row["hours"]),
        source=row["source"],
        reason_code=row["reason_code"],
        source_code=row["source_code"],
        choke=row["choke"],
        planned=row["is_planned"],
        third_party=row["is_third_party"],
        networks=EventNetworks(oil=oil, domestic_gas=domestic, export_gas=export),
        facilities=_facilities(view, shares),
        entered_loss=EnteredLoss(
            oil=view.units.volume(row["oil_loss_bbl"], "oil"), gas=view.units.volume(row["gas_loss_scf"], "gas")
        ),
        confidence=rounded(row["confidence"]),
        evidence=(row["evidence"] or "").split(),
    )


def _volume(view: View, network: str, shares: Sequence[Row]) -> EventVolume:
    rows = [row for row in shares if row["network"] == network]

    def total(column: str) -> float | None:
        known = [row[column] for row in rows if row[column] is not None]
        return view.units.volume(sum(known), network) if known else None

    return EventVolume(
        volume=total("volume"), volume_if_alone=total("volume_if_alone"), gain_if_fixed=total("gain_if_fixed")
    )


def _facilities(view: View, shares: Sequence[Row]) -> list[EventFacility]:
    by_facility: dict[str, dict[str, Row]] = {}
    for row in shares:
        by_facility.setdefault(row["facility_id"], {})[row["network"]] = row

    def volume(rows: Mapping[str, Row], network: str) -> float | None:
        return view.units.volume(rows[network]["volume"], network) if network in rows else None

    return [
        EventFacility(
            facility_id=facility_id,
            hub_id=next(iter(rows.values()))["hub_id"],
            asset_id=next(iter(rows.values()))["asset_id"],
            oil=volume(rows, "oil"),
            domestic_gas=volume(rows, "domesticGas"),
            export_gas=volume(rows, "exportGas"),
        )
        for facility_id, rows in sorted(by_facility.items())
    ]


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
