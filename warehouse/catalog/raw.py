"""Raw tables: one a source dataset, values as received in the unit that the site's mapping names, nothing converted.

Bounds stand in core, where values have base units; here a row is refused only for its type or an empty key.
"""

import dataframely as dy

from warehouse.catalog import columns as c


class RawEnergyComponentsStreamDay(dy.Schema):
    """Daily volume of an Energy Components stream, one row a stream and production day, in the mapping's unit."""

    production_date = c.day()
    stream_ec_code = c.key("Stream code in Energy Components.")
    volume = c.number("Net volume of the day; null while the row is only instantiated.", "as mapped")
    record_status = c.text("P provisional, V verified, A approved.")
    rev_no = c.count("Revision number of the row in its source.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsWellDay(dy.Schema):
    """Daily well status, one row a well and production day, in the mapping's units."""

    production_date = c.day()
    well_ec_code = c.key("Well code in Energy Components.")
    flow_kind = dy.String(primary_key=True, description="production or injection; empty where the source has none.")
    on_stream_hours = c.number("Hours on stream.", "h")
    oil_volume = c.number("Oil of the day.", "as mapped")
    gas_volume = c.number("Gas of the day.", "as mapped")
    water_volume = c.number("Water of the day.", "as mapped")
    injection_volume = c.number("Injected volume of the day.", "as mapped")
    record_status = c.text("P provisional, V verified, A approved.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsPotentialDay(dy.Schema):
    """Daily potential of an object and network as Energy Components states it."""

    production_date = c.day()
    object_ec_code = c.key("Facility or plant code in Energy Components.")
    network = c.key("Network as mapped.")
    potential = c.number("Potential rate.", "as mapped")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsDefermentEvent(dy.Schema):
    """Deferment events; an event stands in every production day that it overlaps, as known when that day was read."""

    production_date = c.day()
    event_no = c.key("Event number in Energy Components.")
    object_ec_code = c.text("Object that the event is booked on.", nullable=False)
    object_type = c.text("Object type: WELL, FACILITY, STREAM, EDGE ….")
    parent_event_no = c.text("Parent of a GROUP_CHILD event.")
    deferment_type = c.text("SINGLE, GROUP or GROUP_CHILD.")
    event_type = c.text("DOWN or CONSTRAINT.")
    started_at_local = c.local_instant("Start, facility local time.", nullable=False)
    ended_at_local = c.local_instant("End, facility local time; null while open.")
    reason_ec_code = c.text("Reason code of the source.")
    is_scheduled = c.flag("Planned according to the source.", nullable=True)
    title = c.text("Comment or title of the event.")
    equipment_code = c.text("Equipment; overlapping events of one equipment count once.")
    oil_loss_rate = c.number("Entered oil loss rate.", "as mapped")
    oil_loss_volume = c.number("Entered oil loss volume of the whole event.", "as mapped")
    gas_loss_rate = c.number("Entered gas loss rate.", "as mapped")
    gas_loss_volume = c.number("Entered gas loss volume of the whole event.", "as mapped")
    oil_remaining_rate = c.number("Oil rate that remains possible.", "as mapped")
    gas_remaining_rate = c.number("Gas rate that remains possible.", "as mapped")
    rev_no = c.count("Revision number of the row in its source.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsDefermentDay(dy.Schema):
    """Daily split of an event's loss by phase."""

    production_date = c.day()
    event_no = c.key("Event number in Energy Components.")
    object_ec_code = dy.String(primary_key=True, description="Object that the split is booked on.")
    oil_volume = c.number("Deferred oil of the day.", "as mapped")
    gas_volume = c.number("Deferred gas of the day.", "as mapped")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsTankDay(dy.Schema):
    """Closing inventory of a storage at the end of the production day."""

    production_date = c.day()
    tank_ec_code = c.key("Storage or tank code in Energy Components.")
    closing_volume = c.number("Gross closing volume.", "as mapped")
    water_volume = c.number("Free water in it.", "as mapped")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsCargo(dy.Schema):
    """Lifting nominations, one row a parcel, as known at extraction."""

    parcel_no = c.key("Parcel number.")
    cargo_name = c.text("Cargo name.")
    storage_ec_code = c.text("Storage that it is lifted from.", nullable=False)
    status = c.text("Status as the site maps it.")
    laycan_start = c.date("First day of the laycan.")
    laycan_end = c.date("Last day of the laycan.")
    nominated_volume = c.number("Nominated volume.", "as mapped")
    lifted_volume = c.number("Lifted volume by bill of lading.", "as mapped")
    lifted_at_local = c.local_instant("Bill of lading, facility local time.")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawEnergyComponentsCapacity(dy.Schema):
    """Dated capacities of facilities by network."""

    object_ec_code = c.key("Facility code in Energy Components.")
    network = c.key("Network as mapped.")
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid.")
    capacity = c.number("Largest sustained rate.", "as mapped")
    source_updated_at_utc = c.instant("When the source last changed the row.")


class RawPiSample(dy.Schema):
    """Recorded values of PI tags, one row a sample; a day's file also holds each tag's last sample before the day."""

    production_date = c.day()
    tag_id = dy.UInt32(primary_key=True, description="Our number of the tag, from the site's tag map.")
    observed_at_utc = dy.Datetime(
        primary_key=True, time_zone="UTC", time_unit="us", description="Time stamp of the sample."
    )
    value = c.number("Value in the tag's unit; null for a system state.", "as mapped")
    state_code = dy.Int16(nullable=True, description="PI system state in place of a value.")
    is_good = c.flag("PI's Good flag.")
    is_questionable = c.flag("PI's Questionable flag.")


class RawSharepointBusinessTarget(dy.Schema):
    """Approved and draft target versions, one row a list item."""

    item_id = c.key("List item.")
    node_code = c.text("Facility, hub, asset or system as SharePoint names it.", nullable=False)
    network = c.text("Network.", nullable=False)
    version = c.text("Target version.", nullable=False)
    valid_from = c.date("First day of validity.", nullable=False)
    valid_to = c.date("Last day of validity, exclusive; null = open.")
    value = c.number("Target rate.", "as stated in unit")
    unit = c.text("Unit of the value.")
    status = c.text("approved, draft or withdrawn.")
    published_at_utc = c.instant("When the version was published.")
    approved_by = c.text("Who approved it.")


class RawSharepointCapacityRegister(dy.Schema):
    """Capacity register, one row a list item."""

    item_id = c.key("List item.")
    facility_code = c.text("Facility as SharePoint names it.", nullable=False)
    network = c.text("Network.", nullable=False)
    valid_from = c.date("First day of validity.", nullable=False)
    valid_to = c.date("Last day of validity, exclusive; null = open.")
    capacity = c.number("Largest sustained rate.", "as stated in unit")
    unit = c.text("Unit of the value.")


class RawSharepointLiftingProgramme(dy.Schema):
    """Lifting programme workbook, one row a cargo."""

    cargo_id = c.key("Cargo number.")
    terminal_code = c.text("Terminal as SharePoint names it.", nullable=False)
    parcel = c.number("Parcel size.", "as stated in unit")
    unit = c.text("Unit of the parcel.")
    laycan_start = c.date("First day of the laycan.")
    laycan_end = c.date("Last day of the laycan.")
    status = c.text("planned, nominated, loading, lifted or cancelled.")


class RawSharepointTagRegister(dy.Schema):
    """PI tag register workbook, one row a tag."""

    tag_name = c.key("PI point name.")
    description = c.text("Description.")
    facility_code = c.text("Facility as SharePoint names it.")
    measurement = c.text("What is measured.")
    unit = c.text("Engineering unit.")


class RawRejectedRow(dy.Schema):
    """Rows that a source sent and that do not parse: kept whole, on their way to quarantine."""

    production_date = c.day("Production day being read.")
    dataset = c.key("Dataset.")
    row_id = c.key("Hash of rule and raw content.")
    rule = c.text("Rule that was broken.", nullable=False)
    reason = c.text("What is wrong.", nullable=False)
    raw = c.text("Raw content as JSON.", nullable=False)
