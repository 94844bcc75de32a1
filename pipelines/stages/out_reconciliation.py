"""Out reconciliation: meters, balances and closure by production day. It runs within out__terminal, whose stocks it needs."""

from collections.abc import Sequence
from datetime import date, timedelta

from pipelines.lake import Written
from pipelines.stages.workspace import Workspace, label_range
from pipelines.transforms.reconciliation import CONTEXT_DAYS, Reconciliation, daily_reconciliation
from pipelines.transforms.reconciliation_measured import accepted_streams, measured_volumes
from pipelines.transforms.reconciliation_network import site_meters

METER, BALANCE, CLOSURE = "out__daily_meter", "out__daily_balance", "out__daily_closure"
TABLES = (METER, BALANCE, CLOSURE)
_STREAMS = "raw_energy_components__stream_day"


def renew(ws: Workspace, labels: Sequence[date]) -> dict[str, list[Written]]:
    """Renew the three tables over the labels, reading the tests' window before them and no more."""
    found = reconcile(ws, labels)
    return {
        METER: ws.write(METER, found.meters, labels),
        BALANCE: ws.write(BALANCE, found.balances, labels),
        CLOSURE: ws.write(CLOSURE, found.closure, labels),
    }


def reconcile(ws: Workspace, labels: Sequence[date]) -> Reconciliation:
    """Rows of the three tables from what the lake holds; a site without meters has none."""
    site, last = ws.site, labels[-1]
    first = labels[0] - timedelta(days=CONTEXT_DAYS)
    meters = site_meters(site.streams, site.tags, site.terminals)
    days = ws.calendar.frame(label_range(first, last), site.facilities["facility_id"].unique().to_list())
    measured = measured_volumes(
        meters,
        streams=accepted_streams(ws.lake.read(_STREAMS, first, last), ws.lake.read("core__quarantine", first, last)),
        readings=ws.lake.read("core__daily_reading", first, last),
        # A change of stock begins with the stock of the day before.
        terminal_days=ws.lake.read("core__daily_terminal", first - timedelta(days=1), last),
        terminals=site.terminals,
        days=days,
        mapped_units=ws.mapped_units("stream_day"),
        units=ws.units,
    )
    return daily_reconciliation(
        labels=labels,
        meters=meters,
        measured=measured,
        days=days,
        facilities=site.facilities,
        edges=site.edges,
        externals=site.externals,
        terminals=site.terminals,
    )
