"""The running day that a release holds, against the same samples integrated by another engine, and over the API."""

import duckdb
import polars as pl
import pytest

from api.settings import Settings
from tests.integration.conftest import Loaded
from tests.unit.api.client import Api

# Between two good samples within the hold limit a line, after the last of a run its value for as long as it holds.
MEANS = """
WITH samples AS (
    SELECT tag_id, observed_at_utc AS seen, CASE WHEN is_good THEN value END AS value,
        lead(observed_at_utc) OVER later AS next_seen, lead(CASE WHEN is_good THEN value END) OVER later AS next_value
    FROM raw WHERE observed_at_utc <= $until
    WINDOW later AS (PARTITION BY tag_id ORDER BY observed_at_utc)
), pieces AS (
    SELECT s.tag_id, t.facility_id, t.network, t.factor, greatest(seen, $begin) AS a,
        least(coalesce(next_seen, $until), seen + to_seconds(hold_limit_seconds::BIGINT), $until) AS b,
        (NOT is_step AND next_value IS NOT NULL AND next_seen <= seen + to_seconds(hold_limit_seconds::BIGINT)) AS is_line,
        epoch(greatest(seen, $begin) - seen) AS before, epoch(next_seen - seen) AS length, value, next_value
    FROM samples AS s JOIN tags AS t USING (tag_id)
    WHERE value IS NOT NULL
), areas AS (
    SELECT tag_id, facility_id, network, factor, epoch(b - a) AS seconds,
        CASE WHEN is_line THEN value + (next_value - value) * (before + epoch(b - a) / 2) / length ELSE value END AS mean
    FROM pieces WHERE b > a
), means AS (
    SELECT tag_id, facility_id, network, factor * sum(mean * seconds) / sum(seconds) AS mean,
        100 * sum(seconds) / epoch($until - $begin) AS percent
    FROM areas GROUP BY tag_id, facility_id, network, factor
)
SELECT facility_id, network, sum(mean) AS rate, min(percent) AS percent_good
FROM means GROUP BY facility_id, network ORDER BY facility_id, network
"""


def test_running_day_when_integrated_by_another_engine_then_the_same(sandbox: Loaded) -> None:
    ws = sandbox.workspace
    found = sandbox.sql("SELECT * FROM intraday ORDER BY facility_id, network")
    assert found.height > 20
    assert found["production_date"].unique().to_list() == [ws.running_label]
    [(begin, until)] = found.select("from_utc", "to_utc").unique().rows()
    newest = ws.lake.read("raw_pi__recorded_value", ws.running_label, ws.running_label)["observed_at_utc"].max()
    assert until == newest
    raw = ws.lake.read("raw_pi__recorded_value", ws.running_label, ws.running_label)
    flows = ws.site.tags.filter(
        pl.col("measurement").is_in(["rate", "flare_rate", "receipt_rate"]), pl.col("network").is_not_null()
    )
    metric = pl.when(pl.col("network") == "oil").then(6.289810770).otherwise(35.314666721)
    oilfield = pl.col("unit").replace_strict({"kbbl/d": 1e3, "bbl/d": 1.0, "MMscf/d": 1e6}, default=None)
    tags = flows.with_columns(factor=pl.when(pl.col("unit") == "Sm3/d").then(metric).otherwise(oilfield))
    assert raw.height > 1000
    assert tags.height > 20
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone='UTC'")
        expected = connection.sql(MEANS, params={"begin": begin, "until": until}).pl()
    assert found.select("facility_id", "network").rows() == expected.select("facility_id", "network").rows()
    assert found["rate"].to_list() == pytest.approx(expected["rate"].to_list(), rel=1e-9, abs=1e-6)
    assert found["percent_good"].to_list() == pytest.approx(expected["percent_good"].to_list(), abs=1e-6)


def test_running_day_when_asked_for_then_it_stands_beside_the_closed_day_and_apart_from_it(sandbox: Loaded) -> None:
    [(rate, percent)] = sandbox.sql(
        "SELECT rate, percent_good FROM intraday WHERE facility_id = 'fs-bomiri' AND network = 'oil'"
    ).rows()
    [closed] = sandbox.sql(
        "SELECT production FROM production_daily WHERE node_id = 'fs-bomiri' AND network = 'oil' "
        "ORDER BY production_date DESC LIMIT 1"
    )["production"]
    with Api(Settings(warehouse_dir=sandbox.settings.warehouse_dir)) as api:
        body = api.body("/api/v1/facilities/fs-bomiri")
    assert body["intradayReason"] is None
    assert body["intraday"]["productionDate"] == sandbox.workspace.running_label.isoformat()
    assert body["intraday"]["networks"]["oil"]["rate"] == pytest.approx(rate, abs=1e-3)
    assert body["intraday"]["networks"]["oil"]["percentGood"] == pytest.approx(percent, abs=1e-3)
    assert body["networks"]["oil"]["currentProduction"] == pytest.approx(closed, abs=1e-3)
