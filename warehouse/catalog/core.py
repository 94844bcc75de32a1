"""Core tables: cleaned facts by production day, in base units, under our identifiers, with their quality."""

import dataframely as dy

from warehouse.catalog import columns as c


class CoreDailyReading(dy.Schema):
    """One PI tag over one production day."""

    production_date = c.day()
    tag_id = dy.UInt32(primary_key=True, description="Our number of the tag.")
    tag_name = c.text("PI point name.", nullable=False)
    facility_id = c.text("Facility that the tag belongs to.")
    network = c.text("Network that the tag measures, if any.")
    measurement = c.text("What is measured.", nullable=False)
    unit = c.text("Unit of the mean: the tag's unit in the base system.")
    time_weighted_mean = c.number(
        "Time-weighted mean over the good part of the day.",
        "as in unit",
        formula="Σ value × seconds held ÷ Σ seconds held, bad and null excluded, a value held at most the tag's limit",
        source="pi",
    )
    good_fraction = c.fraction("Share of the day covered by good values.", nullable=False)
    sample_count = c.count("Samples within the day.", nullable=False)
    frozen_fraction = c.fraction("Share of the day in runs of identical samples beyond the tag's norm.")
    last_value = c.number("Last good value at or before the end of the day.", "as in unit")
    last_good_at_utc = c.instant("Instant of that value.")
    quality = c.quality()


class CoreDailyProduction(dy.Schema):
    """Metered or allocated flow of a facility on a network over one production day; EC where it has a row, PI otherwise."""

    production_date = c.day()
    facility_id = c.key("Facility.")
    network = c.network()
    day_hours = c.hours("Length of the facility's production day.", nullable=False)
    volume = c.volume("Volume of the day; null when neither source has it.")
    source = c.text("ec, pi, or null when missing.")
    record_status = c.record_status()
    quality = c.quality()
    good_fraction = c.fraction("Share of the day covered by good PI values; null unless source is pi.")
    coverage = c.fraction("1 where present, 0 where missing; between where some wells have no row.", nullable=False)
    observed_at_utc = c.instant("Newest source instant used.")


class CoreActual(dy.Schema):
    """Every version of an actual that we ever saw: rows are added, never changed. The newest one is in force."""

    facility_id = c.key("Facility.")
    network = c.network()
    production_date = c.day()
    source = c.choice(
        "Who said so: ec or pi; none for a value that its source took back.", ("ec", "pi", "none"), primary_key=True
    )
    known_at_utc = c.instant("When we first saw the value.", nullable=False, primary_key=True)
    volume = c.volume("Volume of the day; null when it was taken back.")
    record_status = c.record_status()
    revision = c.count("Revision that the source gives the row, of several rows the one updated last.")
    source_updated_at_utc = c.instant("When the source says that it last updated the value.")


class CoreComparedFile(dy.Schema):
    """Which file of a table held a production day when restatements were last looked for: what a change is told by."""

    production_date = c.day()
    table_name = c.key("Table of the lake.")
    partition = c.text("Day or closed month.", nullable=False)
    sha256 = c.text("Hash of the file's content, which is its name.", nullable=False)


class CoreDailyWell(dy.Schema):
    """A well's day from Energy Components, with its potential."""

    production_date = c.day()
    well_id = c.key("Well.")
    facility_id = c.text("Facility that the well flows to.", nullable=False)
    day_hours = c.hours("Length of the production day.", nullable=False)
    on_stream_hours = c.hours("Hours on stream, at most the day's length; null when absent.")
    down_hours = c.hours("day_hours − min(on_stream_hours, day_hours); null hours count as 0 on stream.")
    is_producer = c.flag("A production row, not injection.")
    is_absent = c.flag("The source has no row of this well for the day.")
    oil_volume_bbl = c.number("Oil of the day.", "bbl")
    gas_volume_scf = c.number("Gas of the day.", "scf")
    oil_potential_bblpd = c.number("Oil potential; null before the first.", "bbl/d", min=0.0)
    gas_potential_scfpd = c.number("Gas potential; null before the first.", "scf/d", min=0.0)
    potential_basis = c.text("Method that gave the potential.")
    record_status = c.record_status()


class CoreDailyPotential(dy.Schema):
    """Potential of a facility on a network in force on a day."""

    production_date = c.day()
    facility_id = c.key("Facility.")
    network = c.network()
    potential = c.rate("What could have flowed that day, limited by nothing downstream.")
    basis = c.text(
        "Method that gave it: ec, well_test, p75_full_days, last_full_day, month_average, nameplate, target."
    )
    as_of = c.date("Day on which the value was established.")
    quality = c.quality()


class CoreDailyEvent(dy.Schema):
    """An event's part within one production day, by phase: what attribution takes as its input."""

    production_date = c.day()
    event_id = c.key("Event with its source prefix.")
    phase = c.choice("Phase that the loss acts on.", ("oil", "gas"), primary_key=True)
    facility_id = c.text("Facility that the event is booked on.")
    target_kind = c.choice("What the event limits.", ("source", "node", "edge"))
    target_id = c.text("Facility or edge that it limits.", nullable=False)
    network = c.text("Network where the event is tied to one (an edge); null otherwise.")
    equipment_id = c.text("Equipment; overlapping events of one equipment count once.")
    started_at_utc = c.instant("Start of the event.", nullable=False)
    ended_at_utc = c.instant("End of the event; null while open.")
    from_utc = c.instant("Start of its part in the day.", nullable=False)
    to_utc = c.instant("End of its part in the day.", nullable=False)
    hours = c.hours("Overlap with the day; hours down for a uniform derate.", nullable=False)
    is_uniform = c.flag("Hours have no clock time: a derate spread over the whole day.")
    loss_rate = c.number("Loss while it lasts; null = the whole flow of its target.", "bbl/d | scf/d", min=0.0)
    remaining_rate = c.number("Rate that remains possible, where stated instead.", "bbl/d | scf/d", min=0.0)
    reason_code = c.text("Our reason code.")
    source_code = c.text("The source's reason code.")
    choke = c.choice("Choke model category.", c.CHOKES)
    is_planned = c.flag("Planned.")
    is_third_party = c.flag("Caused by a third party.")
    is_open = c.flag("Still open when read.")
    title = c.text("Title.")
    source = c.text("ec, pi, ech, tanktop.", nullable=False)
    confidence = c.fraction("Confidence of the evidence.", nullable=False, formula="s × k")
    oil_loss_bbl = c.number("Oil loss of the whole event as entered.", "bbl")
    gas_loss_scf = c.number("Gas loss of the whole event as entered.", "scf")
    evidence = c.text("References to source rows, separated by a space.")


class CoreDailyEquipmentStop(dy.Schema):
    """A stretch of a production day in which PI says that equipment stands, and the flow of its facility meanwhile."""

    production_date = c.day()
    tag_id = dy.UInt32(primary_key=True, description="Our number of the run-status tag.")
    from_utc = c.instant("Start of the stretch within the day.", nullable=False, primary_key=True)
    to_utc = c.instant("End of the stretch within the day.", nullable=False)
    tag_name = c.text("PI point name.", nullable=False)
    facility_id = c.text("Facility of the equipment.", nullable=False)
    equipment_id = c.text("Equipment that the tag belongs to.")
    phase = c.choice("Phase that is measured through the facility.", ("oil", "gas"), nullable=True)
    started_at_utc = c.instant("When the equipment stopped, also on an earlier day.", nullable=False)
    flow_down = c.number(
        "Flow through the facility over the stretch, Σ of its flow meters in PI; null where they were not good for half "
        "of it.",
        "bbl/d | scf/d",
    )
    flow_running = c.number(
        "Flow through the facility while the equipment ran that day, or, where it stood all day, when it last ran.",
        "bbl/d | scf/d",
    )


class CoreDailyTerminal(dy.Schema):
    """A terminal's stock, receipts and liftings over one production day."""

    production_date = c.day()
    facility_id = c.key("Terminal.")
    day_hours = c.hours("Length of the production day.", nullable=False)
    gross_stock_bbl = c.terminal_volume("All liquid in the tanks at the end of the day.")
    stock_source = c.text("pi or ec.")
    measured_at_utc = c.instant("Instant of the stock.")
    water_bbl = c.terminal_volume("Free water.")
    receipts_bbl = c.terminal_volume("Received over the day.")
    lifted_bbl = c.terminal_volume("Loaded over the day.")
    quality = c.quality()


class CoreCarryState(dy.Schema):
    """State that crosses days, written by a day from the one before: a refresh reads one file, whatever the history."""

    production_date = c.day()
    kind = c.key("What is carried, for example well_oil_potential.")
    entity_id = c.key("Well, facility or tag.")
    slot = dy.Int64(primary_key=True, description="Position in a window; 0 where one value is carried.")
    value = c.number("The value carried.", "by kind")
    as_of = c.date("Day on which it was established.")


class CoreQuarantine(dy.Schema):
    """Rejected rows: counted, shown, never dropped silently, never served."""

    production_date = c.day()
    source = c.key("Source.")
    dataset = c.key("Dataset.")
    row_id = c.key("Hash of rule and raw content.")
    rule = c.text("Rule that was broken.", nullable=False)
    reason = c.text("What is wrong and what to do.", nullable=False)
    raw = c.text("Raw content as JSON.", nullable=False)
    rejected_at_utc = c.instant("When it was rejected.", nullable=False)


class CoreTarget(dy.Schema):
    """Target versions in base units under our identifiers; rows are added, never overwritten."""

    version = c.key("Target version.")
    node_id = c.key("Facility, hub, asset or system.")
    network = c.network()
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    value = c.rate("Target rate, a ceiling for flaredGas.")
    published_at_utc = c.instant("When it was published.")
    approved_by = c.text("Who approved it.")
    is_approved = c.flag("Approved, hence eligible to be in force.")


class CoreCapacity(dy.Schema):
    """Dated capacities of facilities in base units."""

    facility_id = c.key("Facility.")
    network = c.network()
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    capacity = c.rate("Largest sustained rate.")
    source = c.text("ec or sharepoint.", nullable=False)


class CoreCargo(dy.Schema):
    """Cargoes from nominations and the lifting programme."""

    cargo_id = c.key("Cargo.")
    terminal_id = c.text("Terminal.", nullable=False)
    parcel_bbl = c.terminal_volume("Parcel.")
    laycan_start = c.date("First day of the laycan.")
    laycan_end = c.date("Last day of the laycan.")
    status = c.text("planned, nominated, loading, lifted, cancelled.", nullable=False)
    lifted_bbl = c.terminal_volume("Lifted by bill of lading.")
    lifted_at_utc = c.instant("When it was lifted.")
