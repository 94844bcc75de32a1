"""GET /api/v1/reconciliation."""

from typing import Annotated

from api.contracts.common import Contract, Metadata, doc
from api.contracts.production_flow import NETWORK_VALUES

SYSTEM_VALUES = ["oil", "gas"]
FLAGS = ["ok", "suspect", "grossError", "notObservable"]


class SystemVolumeUnits(Contract, frozen=True, kw_only=True):
    """Units of volumes by system."""

    oil: Annotated[str, doc("bbl, or kbbl with units=display.")]
    gas: Annotated[str, doc("scf, or MMscf with units=display.")]


class SystemClosure(Contract, frozen=True, kw_only=True):
    """How the balances of a system close together; null figures where no balance stands on the day."""

    inputs: Annotated[float | None, doc("Into the system, by the meters at its edge.", unit="volume")]
    outputs: Annotated[
        float | None, doc("Out of it, by the meters at its edge; declared losses are included.", unit="volume")
    ]
    imbalance: Annotated[
        float | None, doc("What does not close over the system.", unit="volume", formula="inputs − outputs")
    ]
    sigma: Annotated[float | None, doc("Standard deviation of the imbalance.", unit="volume")]
    closure: Annotated[float | None, doc("1 closes.", unit="fraction", formula="outputs ÷ inputs")]
    global_statistic: Annotated[
        float | None, doc("Global test of all balances.", formula="rᵀ V⁻¹ r, χ² with degreesOfFreedom")
    ]
    degrees_of_freedom: Annotated[int, doc("Independent balances.")]
    p_value: Annotated[
        float | None, doc("Probability of a statistic this large without any gross error.", unit="fraction")
    ]
    critical_statistic: Annotated[float | None, doc("Bound on a meter's testStatistic for a gross error.")]
    meter_count: Annotated[int, doc("Meters with a value.")]
    observable_count: Annotated[int, doc("Meters in at least two independent balances.")]
    gross_error_count: Annotated[int, doc("Meters flagged grossError.")]


class NodeBalance(Contract, frozen=True, kw_only=True):
    """The balance of a node, from measured volumes."""

    id: Annotated[str, doc("<facility>/<part>.")]
    node_id: Annotated[str, doc("Facility of the node.")]
    facility_ids: Annotated[list[str], doc("Facilities that it spans: an unmetered line joins its ends.")]
    inputs: Annotated[float | None, doc("Measured into the node.", unit="volume")]
    outputs: Annotated[
        float | None, doc("Measured and declared out of it; a rise of stock is an output.", unit="volume")
    ]
    imbalance: Annotated[float | None, doc("What does not close.", unit="volume", formula="inputs − outputs")]
    sigma: Annotated[float | None, doc("Standard deviation of the imbalance.", unit="volume")]
    closure: Annotated[float | None, doc("1 closes; null without input.", unit="fraction", formula="outputs ÷ inputs")]
    statistic: Annotated[float | None, doc("In standard deviations.", formula="imbalance ÷ sigma")]
    closed: Annotated[bool, doc("The meters' uncertainty explains the imbalance (5 % level).")]


class MeterDay(Contract, frozen=True, kw_only=True):
    """A meter against the balances."""

    id: Annotated[
        str, doc("Stream of Energy Components, else the object of a PI tag; `<storage>/stock` for a tank farm.")
    ]
    facility_id: Annotated[str, doc("Facility that it stands at.")]
    network: Annotated[str | None, doc("Network; null for raw gas before the outlets.", values=NETWORK_VALUES)]
    measurement: Annotated[str, doc("What it measures, such as separator_rate, receipt_rate or stock.")]
    source: Annotated[str | None, doc("Source of the value; null when missing.", values=["ec", "pi"])]
    measured: Annotated[float | None, doc("Measured volume; signed for a change of stock.", unit="volume")]
    sigma: Annotated[float | None, doc("Standard deviation of the measurement.", unit="volume")]
    reconciled: Annotated[
        float | None, doc("Estimate that closes every balance; null outside all balances.", unit="volume")
    ]
    reconciled_sigma: Annotated[float | None, doc("Standard deviation of the estimate.", unit="volume")]
    adjustment: Annotated[
        float | None, doc("What reconciliation adds.", unit="volume", formula="reconciled − measured")
    ]
    bias: Annotated[
        float | None, doc("Relative error of the meter.", unit="fraction", formula="measured ÷ reconciled − 1")
    ]
    test_statistic: Annotated[
        float | None, doc("Signed likelihood ratio of a bias over the last evidenceDays, in standard deviations.")
    ]
    evidence_days: Annotated[int | None, doc("Days that the statistic looks at: 1 to 3.")]
    flag: Annotated[
        str,
        doc(
            "`suspect`: beyond its own 1 % bound. `grossError`: beyond the bound for all meters together, and left out of "
            "the estimates. `notObservable`: no value, or in fewer than two independent balances.",
            values=FLAGS,
        ),
    ]


class SystemReconciliation(Contract, frozen=True, kw_only=True):
    """One system that is balanced as a whole."""

    system: Annotated[str, doc("System.", values=SYSTEM_VALUES)]
    networks: Annotated[list[str], doc("Networks that it balances: raw gas belongs to all gas networks at once.")]
    closure: SystemClosure
    balances: Annotated[list[NodeBalance], doc("The worst first.")]
    meters: Annotated[list[MeterDay], doc("Gross errors first.")]


class Reconciliation(Metadata, frozen=True, kw_only=True):
    """Meters of one production day against the balances that they stand in."""

    uom: SystemVolumeUnits
    network: Annotated[str | None, doc("Network asked for; null for all.", values=NETWORK_VALUES)]
    systems: Annotated[list[SystemReconciliation], doc("Empty for an operator without meters.")]
