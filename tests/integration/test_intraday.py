"""The running day that a release holds, against the same samples integrated by another engine, and over the API."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from api.settings import Settings
from pipelines import settings
from pipelines.bootstrap import bootstrap
from pipelines.settings import clock
from pipelines.simulators.launch import start_simulators
from pipelines.stages.workspace import open_workspace
from tests.integration.conftest import Loaded
from tests.unit.api.client import Api

# Some hours into a production day: at its very beginning there is nothing to integrate.
NOW = datetime(2026, 11, 22, 11, 0, tzinfo=UTC)

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


@pytest.fixture(scope="module")
def amid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    """The sandbox loaded amid a production day."""
    root = tmp_path_factory.mktemp("amid")
    with start_simulators("sandbox", data_root=root / "data", now=NOW, history_days=14, pi_days=1) as running:
        loaded = settings.load(
            running.environment()
            | {
                "LAKE_URL": str(root / "lake"),
                "WAREHOUSE_DIR": str(root / "warehouse"),
                "HISTORY_DAYS": "14",
                "PI_DAYS": "1",
            }
        )
        workspace = replace(open_workspace(loaded, report=lambda _: None), is_bootstrap=True, now=clock(NOW))
        yield Loaded(running, loaded, workspace, bootstrap(workspace, loaded), [])


def test_running_day_when_integrated_by_another_engine_then_the_same(amid: Loaded) -> None:
    ws = amid.workspace
    found = amid.sql("SELECT * FROM intraday ORDER BY facility_id, network")
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


def test_running_day_when_asked_for_then_it_stands_beside_the_closed_day_and_apart_from_it(amid: Loaded) -> None:
    [(rate, percent)] = amid.sql(
        "SELECT rate, percent_good FROM intraday WHERE facility_id = 'fs-bomiri' AND network = 'oil'"
    ).rows()
    [closed] = amid.sql(
        "SELECT production FROM production_daily WHERE node_id = 'fs-bomiri' AND network = 'oil' "
        "ORDER BY production_date DESC LIMIT 1"
    )["production"]
    with Api(Settings(warehouse_dir=amid.settings.warehouse_dir)) as api:
        body = api.body("/api/v1/facilities/fs-bomiri")
    assert body["intradayReason"] is None
    assert body["intraday"]["productionDate"] == amid.workspace.running_label.isoformat()
    assert body["intraday"]["networks"]["oil"]["rate"] == pytest.approx(rate, abs=1e-3)
    assert body["intraday"]["networks"]["oil"]["percentGood"] == pytest.approx(percent, abs=1e-3)
    assert body["networks"]["oil"]["currentProduction"] == pytest.approx(closed, abs=1e-3)
