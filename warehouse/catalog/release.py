"""Tables that a release holds beside the daily ones: dimensions, targets, cargoes, freshness, and what is said of the release."""

import dataframely as dy

from warehouse.catalog import columns as c


class Asset(dy.Schema):
    """Assets, current."""

    asset_id = c.key("Asset.")
    name = c.text("Name.", nullable=False)
    position = c.count("Order in the operator's folder.", nullable=False)


class Hub(dy.Schema):
    """Production hubs, current."""

    hub_id = c.key("Hub.")
    name = c.text("Name.", nullable=False)
    asset_id = c.text("Asset.", nullable=False)
    position = c.count("Order in the operator's folder.", nullable=False)


class Facility(dy.Schema):
    """Facilities as valid on the latest closed day."""

    facility_id = c.key("Facility.")
    name = c.text("Name.", nullable=False)
    facility_type = c.choice("Type.", c.FACILITY_TYPES)
    hub_id = c.text("Hub; null for one directly under its asset.")
    hub_name = c.text("Name of the hub.")
    asset_id = c.text("Asset.", nullable=False)
    asset_name = c.text("Name of the asset.", nullable=False)
    position = c.count("Order in the operator's folder.", nullable=False)


class FacilityVersion(dy.Schema):
    """Facilities by validity: a fact belongs to the hub and asset of its day."""

    facility_id = c.key("Facility.")
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    name = c.text("Name.", nullable=False)
    facility_type = c.choice("Type.", c.FACILITY_TYPES)
    hub_id = c.text("Hub; null for one directly under its asset.")
    hub_name = c.text("Name of the hub.")
    asset_id = c.text("Asset.", nullable=False)
    asset_name = c.text("Name of the asset.", nullable=False)
    zone = c.text("Time zone of the production day.", nullable=False)
    day_start = c.text("Local start of the production day, HH:MM.", nullable=False)


class FacilityNetwork(dy.Schema):
    """Which networks a facility serves, and which of its meters stand on the counting cut."""

    facility_id = c.key("Facility.")
    network = c.network()
    counts_in_roll_up = c.flag("Owns a meter on the counting cut of the network.")
    is_applicable = c.flag("Serves the network; otherwise its KPIs are zeros with quality notApplicable.")


class ExternalNode(dy.Schema):
    """Sources, markets, export points and junctions that are no facility."""

    external_id = c.key("Node.")
    name = c.text("Name.", nullable=False)
    kind = c.text("source, market, export or junction.", nullable=False)
    network = c.text("Network that it stands in.")


class Edge(dy.Schema):
    """Edges as valid on the latest closed day."""

    edge_id = c.key("`<from>~<to>~<network>`.")
    from_id = c.text("From node.", nullable=False)
    to_id = c.text("To node.", nullable=False)
    network = c.network(primary_key=False)
    stream = c.text("What flows.", nullable=False)
    capacity = c.rate("Largest sustained rate; null = not limiting.")
    on_cut = c.flag("Stands on the counting cut of its network.")


class EdgeVersion(dy.Schema):
    """Edges by validity."""

    edge_id = c.key("`<from>~<to>~<network>`.")
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    from_id = c.text("From node.", nullable=False)
    to_id = c.text("To node.", nullable=False)
    network = c.network(primary_key=False)
    stream = c.text("What flows.", nullable=False)
    capacity = c.rate("Largest sustained rate; null = not limiting.")
    on_cut = c.flag("Stands on the counting cut of its network.")


class ReasonCode(dy.Schema):
    """Reason codes by validity."""

    reason_code = c.key("Our code.")
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    parent_code = c.text("Parent in the tree.")
    title = c.text("Title.", nullable=False)
    choke = c.choice("Choke model category.", c.CHOKES)
    is_planned = c.flag("Planned.")
    is_third_party = c.flag("Caused by a third party.")


class Target(dy.Schema):
    """Target versions."""

    version = c.key("Target version.")
    node_id = c.key("Facility, hub, asset or system.")
    network = c.network()
    valid_from = c.date("First day of validity.", nullable=False, primary_key=True)
    valid_to = c.date("First day no longer valid; null = open.")
    value = c.rate("Target rate; a ceiling for flaredGas.")
    published_at_utc = c.instant("When it was published.")
    approved_by = c.text("Who approved it.")


class Cargo(dy.Schema):
    """Cargoes."""

    cargo_id = c.key("Cargo.")
    terminal_id = c.text("Terminal.", nullable=False)
    parcel = c.terminal_volume("Parcel.")
    laycan_start = c.date("First day of the laycan.")
    laycan_end = c.date("Last day of the laycan.")
    status = c.choice("Status.", ("planned", "nominated", "loading", "lifted", "cancelled"))
    lifted_at_utc = c.instant("When it was lifted.")


class CargoForecastDaily(dy.Schema):
    """Cargo forecast by terminal and day."""

    terminal_id = c.key("Terminal.")
    date = c.date("Forecast day.", nullable=False, primary_key=True)
    stock_p10 = c.terminal_volume("10th percentile of stock.")
    stock_p50 = c.terminal_volume("Median stock.")
    stock_p90 = c.terminal_volume("90th percentile of stock.")
    tank_top_probability = c.fraction("Probability that the terminal reaches safe fill on that day.")
    not_ready_probability = c.fraction("Probability that the next cargo is not ready on that day.")


class ReadingDaily(dy.Schema):
    """PI tags by production day."""

    tag_id = dy.Int64(primary_key=True, description="Our number of the tag.")
    tag_name = c.text("PI point name.", nullable=False)
    production_date = c.day()
    facility_id = c.text("Facility.")
    measurement = c.text("What is measured.", nullable=False)
    unit = c.text("Unit of the mean.")
    time_weighted_mean = c.number("Time-weighted mean over the good part of the day.", "as in unit")
    good_fraction = c.fraction("Share of the day covered by good values.", nullable=False)
    sample_count = c.count("Samples within the day.", nullable=False)
    frozen_fraction = c.fraction("Share of the day in runs of identical samples beyond the tag's norm.")
    quality = c.quality()


class Intraday(dy.Schema):
    """The running production day from PI alone, as far as it had come when it was read; never mixed into production."""

    facility_id = c.key("Facility.")
    network = c.network()
    production_date = c.day("The running production day.", primary_key=False)
    from_utc = c.instant("When it began.", nullable=False)
    to_utc = c.instant("Newest sample of any tag of the site: how far the day was read.", nullable=False)
    rate = c.rate(
        "Mean since the day began; null where a tag of the facility has none.",
        formula="Σ over tags of Σ value × seconds held ÷ Σ seconds held",
    )
    percent_good = c.number(
        "Share of the day so far with good values, of the worst tag.", "%", nullable=False, min=0.0, max=100.0
    )
    observed_at_utc = c.instant("Newest good value.")
    quality = c.quality()


class Restatement(dy.Schema):
    """What changed after it was first loaded: facts with what their source did, dependents with the fact behind them."""

    what = c.key("`<view>.<column>`.")
    entity_id = c.key("`<node>/<network>`, `<event>/<facility>/<network>` of a driver, or the terminal.")
    production_date = c.day()
    known_at_utc = c.instant("When the new value was first seen.", nullable=False, primary_key=True)
    old_value = c.number("Value before; null = there was none.", "by column")
    new_value = c.number("Value after; null = there is none any more.", "by column")
    delta = c.number("Change; null where either value is.", "by column", formula="new_value − old_value")
    reason = c.text(
        "A fact's own: `ec:revision 2`, `source:pi→ec`, `target:v1→v2` …; a dependent's: `derived:<reason> of <fact>`; "
        "`recomputed:<version>` where no source changed but our code or reference files did.",
        nullable=False,
    )


class Quarantine(dy.Schema):
    """Rejected rows."""

    source = c.key("Source.")
    dataset = c.key("Dataset.")
    production_date = c.day()
    row_id = c.key("Hash of rule and raw content.")
    rule = c.text("Rule that was broken.", nullable=False)
    reason = c.text("What is wrong and what to do.", nullable=False)
    raw = c.text("Raw content as JSON.", nullable=False)
    rejected_at_utc = c.instant("When it was rejected.", nullable=False)


class SourceFreshness(dy.Schema):
    """How new each source's data was at release time."""

    source = c.key("Source.")
    data_as_of_utc = c.instant("Newest source instant used.")
    last_success_at_utc = c.instant("Last successful read.")
    sla_seconds = c.count("Age beyond which the data is stale.", nullable=False)


class Dictionary(dy.Schema):
    """Every published field."""

    table_name = c.key("View.")
    column_name = c.key("Column.")
    description = c.text("Meaning.", nullable=False)
    data_type = c.text("SQL type.", nullable=False)
    unit = c.text("Base unit.")
    display_unit = c.text("Display unit.")
    display_scale = c.number(
        "Factor from base to display unit; null where the row's network decides: of units parted by ` | ` the first is of "
        "liquids (factor 0.001), the second of gas (factor 0.000001).",
        None,
    )
    formula = c.text("Formula.")
    source = c.text("Source.")
    owner = c.text("Owner.")


class ReleaseInfo(dy.Schema):
    """One row about the release."""

    release_id = c.key("Release.")
    operator = c.text("Operator.", nullable=False)
    is_synthetic = c.flag("Fiction, never fact.")
    built_at_utc = c.instant("When it was built.", nullable=False)
    code_version = c.text("Version of the code that built it.", nullable=False)
    schema_version = c.count("Version of the SQL contract.", nullable=False)
    latest_production_date = c.date("Latest closed production day in it.", nullable=False)
    first_production_date = c.date("First production day in it.", nullable=False)
    as_of_utc = c.instant("Newest source instant used.")
    zone = c.text("Default zone of the production day.", nullable=False)
