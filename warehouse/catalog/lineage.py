"""Lineage tables of a release: which rows of the sources a fact was made from, so that any number can be recomputed.

Belongs here: references to raw and register rows, the limits behind a parent's capacity, a terminal's balance of the day.
Which file held a row, with its SHA-256, stands in the manifest's inputs under the row's lake_table and source_date.
"""

import dataframely as dy

from warehouse.catalog import columns as c

QUANTITIES = ("production", "potential", "fullDayRate", "stock", "water")
REGISTER_QUANTITIES = (
    "target",
    "capacity",
    "parcel",
    "safeFill",
    "deadStock",
    "settlingHours",
    "bswFraction",
    "shrinkageFraction",
)
ELEMENT_KINDS = ("node", "edge", "outlet")


class SourceRow(dy.Schema):
    """Rows that a facility's fact of a day was made from: fact = Σ value × factor, null values being rows not received."""

    production_date = c.day("Production day of the fact.")
    facility_id = c.key("Facility.")
    network = c.network()
    quantity = c.choice(
        "The fact: volume of the day, potential rate, rate of a full-uptime day, tank stock or free water.",
        QUANTITIES,
        primary_key=True,
    )
    lake_table = c.key("Table of the lake that holds the row.")
    source_key = c.key("Stream, object, storage, well or tag that the row is of.")
    source_date = c.date(
        "Production day of the row: earlier than the fact's where a value was carried.", nullable=False
    )
    column_name = c.text("Column of the row.", nullable=False)
    value = c.number("Value as received; null where the source has none.", "as in unit")
    unit = c.text("Unit of the value.", nullable=False)
    factor = c.number(
        "What the value is multiplied by to give its part of the fact in base units.", None, nullable=False
    )
    sample_table = c.text("Table of the lake with the samples behind a PI mean or reading; null for other rows.")
    rev_no = c.count("Revision number in the source.")
    record_status = c.text("Status letter as received.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class SourceRegister(dy.Schema):
    """Rows of registers and reference files by validity, as received: targets, capacities, parcels, tank constants."""

    quantity = c.choice("What the row states.", REGISTER_QUANTITIES, primary_key=True)
    entity_id = c.key("Facility, hub, asset, system, or cargo.")
    network = c.network()
    version = dy.String(primary_key=True, description="Target version; empty for anything else.")
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    lake_table = c.key("Table of the lake, or `reference/<file>`.")
    source_key = c.key("Key of the row there.")
    valid_to = c.date("First day no longer valid; null = open.")
    column_name = c.text("Column of the row.", nullable=False)
    value = c.number("Value as received.", "as in unit")
    unit = c.text("Unit of the value.", nullable=False)
    factor = c.number("What the value is multiplied by to give base units.", None, nullable=False)
    published_at_utc = c.instant("When a target version was published.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class CapacityLimit(dy.Schema):
    """The smallest cut behind a parent's maxCapacity, by validity: maxCapacity = Σ capacity × weight over its elements."""

    node_level = c.choice("Level of the parent.", c.NODE_LEVELS, primary_key=True)
    node_id = c.key("Hub, asset, or `system`.")
    network = c.network()
    valid_from = c.date("First production day on which the network stood so.", nullable=False, primary_key=True)
    element_kind = c.choice("What limits.", ELEMENT_KINDS, primary_key=True)
    element_id = c.key("Facility of a node, edge, or facility of an outlet.")
    valid_to = c.date("First day on which it stood otherwise; null = open.")
    element_network = c.network(primary_key=False)
    capacity = c.rate("Capacity of the element.", nullable=False)
    weight = c.number("Sales per unit that passes the element; 1 but for raw gas.", "fraction", nullable=False)


class TerminalBalance(dy.Schema):
    """What a terminal held, received and loaded in a production day: the facts behind its KPIs."""

    production_date = c.day()
    terminal_id = c.key("Terminal.")
    day_hours = c.hours("Length of the production day.", nullable=False)
    gross_stock = c.terminal_volume("All liquid in the tanks at the end of the day.")
    stock_source = c.text("pi or ec.")
    water = c.terminal_volume("Free water.")
    receipts = c.terminal_volume("Received over the day.")
    lifted = c.terminal_volume("Loaded over the day.")
