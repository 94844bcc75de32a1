"""Out tables of data reconciliation: meters against the balances that they stand in, by production day.

Volumes are of the production day: bbl in the liquid system, scf in the gas system. Domestic, export and flared gas pass
through one raw-gas system and are balanced together.
"""

import dataframely as dy

from warehouse.catalog import columns as c

SYSTEMS = ("oil", "gas")
METER_FLAGS = ("ok", "suspect", "grossError", "notObservable")


def _system() -> dy.String:
    return c.choice("System that is balanced as one: oil, or the gas networks together.", SYSTEMS, primary_key=True)


class OutDailyMeter(dy.Schema):
    """A meter over one production day: what it measured, what the balances make of it, and whether it can be believed."""

    production_date = c.day()
    system = _system()
    meter_id = c.key(
        "Stream of Energy Components, else the object of a PI tag; `<storage>/stock` for a change of stock."
    )
    facility_id = c.text("Facility that it stands at.", nullable=False)
    network = c.text("Network that it measures; null for raw gas before the outlets.")
    measurement = c.text(
        "What it measures: separator_rate, rate, trunk_inlet_rate, receipt_rate, stock …", nullable=False
    )
    source = c.text("ec, or pi where Energy Components has no row; null when missing.")
    measured = c.volume("Measured volume; signed for a change of stock.", signed=True)
    sigma = c.volume(
        "Standard deviation of the measurement.", formula="declared fraction × volume, at least that of 1 %"
    )
    reconciled = c.volume("Estimate that closes every balance; null outside all balances.", signed=True)
    reconciled_sigma = c.volume("Standard deviation of the estimate.")
    adjustment = c.volume("What reconciliation adds.", signed=True, formula="reconciled − measured")
    test_statistic = c.number(
        "Signed generalised likelihood ratio of a bias of this meter over the last one to three days, in standard deviations.",
        None,
        formula="cᵀr ÷ |c|, r and c whitened residuals and effect of the bias",
    )
    evidence_days = c.count("Days, ending with this one, that the statistic looks at: 1, 2 or 3.")
    flag = c.choice(
        "suspect: beyond the 1 % bound. grossError: beyond the bound for all meters together, and removed. "
        "notObservable: no value, or in fewer than two independent balances.",
        METER_FLAGS,
    )


class OutDailyBalance(dy.Schema):
    """A node's balance over one production day, from measured volumes; nodes joined by an unmetered line are one."""

    production_date = c.day()
    system = _system()
    balance_id = c.key("`<facility>/<part>` of the node.")
    node_id = c.text("Facility of the node.", nullable=False)
    facility_ids = c.text("Facilities that the balance spans, separated by a space.", nullable=False)
    inputs = c.volume("Measured into the node.", nullable=False, signed=True)
    outputs = c.volume("Measured and declared out of it, a rise of stock included.", nullable=False, signed=True)
    imbalance = c.volume("What does not close.", nullable=False, signed=True, formula="inputs − outputs")
    sigma = c.volume("Standard deviation of the imbalance.", nullable=False)
    statistic = c.number("Imbalance in standard deviations.", None, formula="imbalance ÷ sigma")
    is_closed = c.flag("The imbalance is within what the meters' uncertainty explains (5 % level).")


class OutDailyClosure(dy.Schema):
    """A system over one production day: the global test of all its balances."""

    production_date = c.day()
    system = _system()
    balance_count = c.count("Balances.", nullable=False)
    meter_count = c.count("Meters with a value.", nullable=False)
    observable_count = c.count("Meters in at least two independent balances.", nullable=False)
    gross_error_count = c.count("Meters flagged grossError.", nullable=False)
    inputs = c.volume("Into the system, by the meters at its edge.", signed=True)
    outputs = c.volume("Out of the system, by the meters at its edge, losses declared included.", signed=True)
    imbalance = c.volume("What does not close over the system.", signed=True, formula="inputs − outputs")
    sigma = c.volume("Standard deviation of the imbalance.")
    global_statistic = c.number("Global test.", None, min=0.0, formula="rᵀ V⁻¹ r, χ² with degrees_of_freedom")
    degrees_of_freedom = c.count("Independent balances.", nullable=False)
    p_value = c.fraction("Probability of a statistic this large without any gross error; null without a balance.")
    critical_statistic = c.number("Bound on the meters' test statistic for a gross error.", None, min=0.0)
