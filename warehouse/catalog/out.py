"""Out tables by production day: what the release publishes. Column order is the SQL contract's."""

import dataframely as dy

from warehouse.catalog import columns as c


class OutDailyProduction(dy.Schema):
    """KPIs of a node on a network over one production day. Facility rows stand for all four networks; parents sum the cut."""

    production_date = c.day()
    node_level = c.choice("Level of the node.", c.NODE_LEVELS, primary_key=True)
    node_id = c.key("Facility, hub or asset; `system` for the system.")
    network = c.network()
    hub_id = c.text("Hub of that day; null for terminals' facilities and above hubs.")
    asset_id = c.text("Asset of that day; null for the system.")
    counts_in_roll_up = c.flag("The facility owns a meter on the counting cut; true for parents.")
    day_hours = c.hours("Length of the production day; a parent has its longest child's.", nullable=False)
    max_capacity = c.rate("Largest sustained rate that the node as configured can pass.")
    potential = c.rate("What could have flowed, limited by nothing downstream.", formula="Σ over cut facilities")
    potential_basis = c.text("Method of the potential; mixed when children differ.")
    business_target = c.rate("Approved target in force; the ceiling for flaredGas.", formula="Σ over cut facilities")
    published_target = c.rate("The node's own published target, where one exists beside the sum.")
    production = c.rate("Mean rate over the production day.", formula="production_volume ÷ (day_hours ÷ 24)")
    deferment = c.rate("Deferred rate.", formula="max(0, potential − production) at a facility; summed above")
    over_performance = c.rate("Rate above potential.", formula="max(0, production − potential) at a facility")
    gap = c.rate("Signed gap to target.", signed=True, formula="target − production; flaredGas: production − target")
    production_volume = c.volume("Produced volume.")
    potential_volume = c.volume("Potential volume.", formula="potential × day_hours ÷ 24")
    business_target_volume = c.volume("Target volume.", formula="business_target × day_hours ÷ 24")
    deferment_volume = c.volume("Deferred volume.", formula="deferment × day_hours ÷ 24")
    over_performance_volume = c.volume("Volume above potential.")
    gap_volume = c.volume("Gap as volume.", signed=True)
    coverage = c.fraction("Present share of the applicable cut facilities, by potential.", nullable=False)
    quality = c.quality()
    source = c.text("ec, pi or mixed; null when missing or not applicable.")
    record_status = c.record_status()
    good_fraction = c.fraction("Share of the day with good PI values; null unless source is pi.")
    observed_at_utc = c.instant("Newest source instant used.")
    target_version = c.text("Version of the target in force.")


class OutDailyGapDriver(dy.Schema):
    """An event's share of a facility's deferment on a network and day; the residual is one more row a cut facility-day."""

    production_date = c.day()
    event_id = c.key("Event, constraint, or `unattributed`.")
    facility_id = c.key("Facility where the loss is counted.")
    network = c.choice("Network.", ("oil", "domesticGas", "exportGas"), primary_key=True)
    hub_id = c.text("Hub of that facility on that day.")
    asset_id = c.text("Asset of that facility on that day.")
    cause_node_id = c.text("Node or edge where the loss was caused.")
    volume = c.volume("Share of the deferment volume.", nullable=False, signed=True)
    volume_if_alone = c.volume("Loss if this event alone had happened.", signed=True)
    gain_if_fixed = c.volume("What would flow more if this event alone were fixed.", signed=True)
    hours = c.hours("Overlap of the event with the day.")
    choke = c.choice("Choke model category.", c.CHOKES, nullable=True)
    reason_code = c.text("Our reason code.")
    is_planned = c.flag("Planned.", nullable=True)
    is_third_party = c.flag("Caused by a third party.", nullable=True)
    confidence = c.fraction("Confidence of the evidence.")
    source = c.text("ec, pi, ech, tanktop, constraint or residual.", nullable=False)


class OutDailyEvent(dy.Schema):
    """An event as known when the day was read; the view `event` shows its newest row."""

    production_date = c.day()
    event_id = c.key("Event or constraint.")
    facility_id = c.text("Facility that it is booked on.")
    target_kind = c.text("source, node or edge.")
    target_id = c.text("What it limits.")
    started_at_utc = c.instant("Start.")
    ended_at_utc = c.instant("End; null while open.")
    hours = c.hours("Overlap with the day.")
    reason_code = c.text("Our reason code.")
    source_code = c.text("The source's reason code.")
    title = c.text("Title.")
    choke = c.choice("Choke model category.", c.CHOKES)
    is_open = c.flag("Open when read.")
    is_planned = c.flag("Planned.")
    is_third_party = c.flag("Caused by a third party.")
    oil_loss_bbl = c.number("Oil loss of the whole event as entered.", "bbl")
    gas_loss_scf = c.number("Gas loss of the whole event as entered.", "scf")
    confidence = c.fraction("Confidence of the evidence.")
    source = c.text("ec, pi, ech, tanktop, constraint.", nullable=False)
    evidence = c.text("References to source rows, separated by a space.")


class OutDailyTerminal(dy.Schema):
    """A terminal's KPIs at the end of a production day."""

    production_date = c.day()
    terminal_id = c.key("Terminal.")
    asset_id = c.text("Asset of that day.")
    max_capacity = c.terminal_volume("Safe fill of tanks in service, bottoms included.")
    gross_stock = c.terminal_volume("All liquid at the end of the day.")
    ready_stock = c.terminal_volume("What can be lifted now.", formula="gross − dead − unsettled − water, ≥ 0")
    ullage = c.terminal_volume("Room left.", formula="max(0, max_capacity − gross_stock)")
    production_rate = c.number("Receipts.", "bbl/d", min=0.0, formula="receipts ÷ (day_hours ÷ 24)")
    ready_crude = c.number(
        "Rate at which crude becomes export quality.",
        "bbl/d",
        min=0.0,
        formula="receipts one settling lag ago × (1 − BS&W) × (1 − shrinkage)",
    )
    endurance = c.number("Days to tank-top with no lifting.", "d", min=0.0, formula="ullage ÷ production_rate")
    stock_cover = c.number("Days of receipts in ready stock.", "d", min=0.0, formula="ready_stock ÷ production_rate")
    lifted = c.terminal_volume("Loaded over the day.")
    quality = c.quality()
    measured_at_utc = c.instant("Instant of the stock.")
    source = c.text("pi or ec.")


class OutHubTrend(dy.Schema):
    """Statistics of a hub on a network over the window of labels that ends with the production day."""

    production_date = c.day("Last label of the window.")
    hub_id = c.key("Hub.")
    network = c.network()
    window_days = dy.Int64(primary_key=True, description="7, 30 or 90.", metadata={"unit": "d"})
    asset_id = c.text("Asset of that day.")
    complete_days = c.count("Labels of the window with a value.", nullable=False)
    average = c.rate("Volume-weighted mean rate over the complete days.", formula="Σ volume ÷ Σ hours × 24")
    days_on_target = c.count("Complete days on which production reached the target (flaredGas: stayed at or below).")
    trend_per_day = c.rate("Theil–Sen slope of the daily rate.", signed=True)
    previous_average = c.rate("The same mean over the window before.")
    change_fraction = c.number("Relative change of the mean against the window before.", "fraction")
    production_efficiency = c.number("Σ production ÷ Σ potential over complete days.", "fraction", min=0.0)
