"""GET /api/v1/hubs/{hubId}/performance."""

from datetime import date
from typing import Annotated

from msgspec import field

from api.contracts.common import QUALITIES, RECORD_STATUSES, Contract, Metadata, NetworkRateUnits, doc


class TrendKpi(Contract, frozen=True, kw_only=True):
    """One network of a hub on one production day; nulls with quality missing in a gap."""

    current_production: Annotated[float | None, doc("Mean rate over the production day.", unit="rate")]
    business_target: Annotated[float | None, doc("Target in force on that day.", unit="rate")]
    potential: Annotated[float | None, doc("Potential; null for flaredGas.", unit="rate")]
    deferment: Annotated[float | None, doc("Deferred rate.", unit="rate")]
    quality: Annotated[str, doc("Quality of the value.", values=QUALITIES)]
    record_status: Annotated[str | None, doc("Status of the record in its source.", values=RECORD_STATUSES)]


class TrendNetworks(Contract, frozen=True, kw_only=True):
    """The four networks of one point."""

    oil: TrendKpi
    domestic_gas: TrendKpi
    export_gas: TrendKpi
    flared_gas: TrendKpi


class TrendPoint(Contract, frozen=True, kw_only=True):
    """One production day."""

    production_date: Annotated[date, doc("Production day.")]
    networks: TrendNetworks


class TrendStatistics(Contract, frozen=True, kw_only=True):
    """Statistics of one network over the complete days of the window."""

    average: Annotated[
        float | None,
        doc("Volume-weighted mean rate over the complete days.", unit="rate", formula="Σ volume ÷ Σ hours × 24"),
    ]
    days_on_target: Annotated[
        int | None, doc("Complete days on which production reached the target; for flaredGas stayed at or below it.")
    ]
    trend_per_day: Annotated[float | None, doc("Slope of the daily rate, per day.", unit="rate")]
    trend_method: Annotated[str, doc("How the slope is estimated.", values=["theil-sen"])]
    previous_window_average: Annotated[float | None, doc("The same mean over the window before.", unit="rate")]
    change: Annotated[
        float | None,
        doc("Change against the window before.", unit="fraction", formula="average ÷ previousWindowAverage − 1"),
    ]
    production_efficiency: Annotated[
        float | None,
        doc("Over the complete days; null for flaredGas.", unit="fraction", formula="Σ production ÷ Σ potential"),
    ]


class NetworkStatistics(Contract, frozen=True, kw_only=True):
    """Statistics by network."""

    oil: TrendStatistics
    domestic_gas: TrendStatistics
    export_gas: TrendStatistics
    flared_gas: TrendStatistics


class HubPerformance(Metadata, frozen=True, kw_only=True):
    """A hub's trend: one point per production day of the window, in order, gaps included."""

    uom: NetworkRateUnits
    id: Annotated[str, doc("Hub.")]
    name: Annotated[str, doc("Name.")]
    asset_id: Annotated[str, doc("Asset.")]
    window: Annotated[str, doc("7d, 30d or 90d ending with productionDate.", values=["7d", "30d", "90d"])]
    from_: Annotated[date, doc("First production day of the window.")] = field(name="from")
    to: Annotated[date, doc("Last production day of the window.")]
    complete_days: Annotated[
        int, doc("Days on which every production network that the hub serves has a value; a missing day is never zero.")
    ]
    points: list[TrendPoint]
    statistics: NetworkStatistics
