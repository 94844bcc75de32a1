"""Hub trends and gap drivers of the current release, from the SQL views that analysts build on.

WAREHOUSE_DIR (var/warehouse) says where releases stand. Nothing is written; an open notebook blocks nobody.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Hub trends and gap drivers")

with app.setup:
    import os
    from pathlib import Path

    import altair as alt
    import duckdb
    import marimo as mo
    import polars as pl

    from warehouse.release import release_path

    RATE_UNITS = {"oil": "bbl/d", "domesticGas": "scf/d", "exportGas": "scf/d", "flaredGas": "scf/d"}
    VOLUME_UNITS = {"oil": "bbl", "domesticGas": "scf", "exportGas": "scf", "flaredGas": "scf"}
    # Blue is measured, grey is what could have flowed, orange is what was promised.
    QUANTITIES = {"production": "#1f5f99", "potential": "#9a9a9a", "business target": "#d9822b"}
    CHOKES = ["reservoir", "wells", "plant", "export", "market", "other", "unattributed"]
    CHOKE_COLOURS = ["#7b4f9d", "#3f8f5f", "#1f5f99", "#d9822b", "#c44e52", "#8c8c8c", "#d0d0d0"]


@app.function
def open_release() -> tuple[duckdb.DuckDBPyConnection, Path]:
    """The current release, read-only: opening it never blocks the pipeline or the API."""
    path = release_path(Path(os.environ.get("WAREHOUSE_DIR") or "var/warehouse"))
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("SET GLOBAL TimeZone='UTC'")
    return connection, path


@app.function
def hub_daily(connection: duckdb.DuckDBPyConnection, network: str, days: int) -> pl.DataFrame:
    """Production, target and potential of every hub over the last `days` labels: rates per 24 h, null where unknown."""
    return connection.sql(
        """
        SELECT h.name AS hub, p.production_date, p.production, p.business_target, p.potential, p.deferment, p.quality
        FROM production_daily p JOIN hub h ON h.hub_id = p.node_id
        WHERE p.node_level = 'hub' AND p.network = $network
          AND p.production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER
        ORDER BY hub, p.production_date
        """,
        params={"network": network, "days": days},
    ).pl()


@app.function
def top_drivers(connection: duckdb.DuckDBPyConnection, network: str, days: int, limit: int = 12) -> pl.DataFrame:
    """The `limit` largest events by their share of deferment over the last `days` labels; volumes in bbl or scf.

    The residual stands among them as `unattributed`; it may be negative, where events are over-booked. Flared gas has no
    drivers: no row.
    """
    return connection.sql(
        """
        SELECT d.event_id,
               CASE WHEN d.event_id = 'unattributed' THEN 'unattributed'
                    ELSE coalesce(any_value(e.title), d.event_id) || ' · ' || coalesce(any_value(f.name), any_value(d.cause_node_id))
               END AS title,
               coalesce(any_value(d.choke), 'unattributed') AS choke,
               sum(d.volume) AS volume, count(DISTINCT d.production_date) AS day_count
        FROM gap_driver_daily d
        LEFT JOIN event e USING (event_id)
        LEFT JOIN facility f ON f.facility_id = d.cause_node_id
        WHERE d.network = $network
          AND d.production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER
        GROUP BY d.event_id ORDER BY abs(sum(d.volume)) DESC, d.event_id LIMIT $limit
        """,
        params={"network": network, "days": days, "limit": limit},
    ).pl()


@app.function
def closure_of(connection: duckdb.DuckDBPyConnection, network: str, days: int) -> pl.DataFrame:
    """One row: drivers with the residual, the deferment that they explain, and the difference; volumes in bbl or scf."""
    return connection.sql(
        """
        WITH first_label AS (SELECT latest_production_date - $days::INTEGER AS label FROM release_info),
        explained AS (
            SELECT coalesce(sum(volume), 0) AS drivers_and_unattributed FROM gap_driver_daily, first_label
            WHERE network = $network AND production_date > label
        ),
        counted AS (
            SELECT coalesce(sum(deferment_volume), 0) AS deferment FROM production_daily, first_label
            WHERE node_level = 'system' AND network = $network AND production_date > label
        )
        SELECT *, drivers_and_unattributed - deferment AS difference FROM explained, counted
        """,
        params={"network": network, "days": days},
    ).pl()


@app.cell
def _():
    connection, path = open_release()
    info = connection.sql("SELECT * FROM release_info").pl().row(0, named=True)
    mo.md(
        f"""
        # Hub trends and gap drivers
        Release `{info["release_id"]}` of operator **{info["operator"]}**{" (fictitious)" if info["is_synthetic"] else ""},
        production days {info["first_production_date"]} to {info["latest_production_date"]}.
        """
    )
    return (connection,)


@app.cell
def _():
    network = mo.ui.dropdown(list(RATE_UNITS), value="oil", label="Network")
    window = mo.ui.dropdown({"7 days": 7, "30 days": 30, "90 days": 90}, value="30 days", label="Window")
    mo.hstack([network, window], justify="start")
    return network, window


@app.cell
def _(connection, network, window):
    daily = hub_daily(connection, network.value, window.value)
    long = (
        daily.rename({"business_target": "business target"})
        .unpivot(index=["hub", "production_date"], on=list(QUANTITIES), variable_name="quantity", value_name="rate")
        .with_columns(pl.col("production_date").cast(pl.String))
    )
    trend_chart = (
        alt.Chart(alt.Data(values=long.to_dicts()))
        .mark_line(strokeWidth=2)
        .encode(
            x=alt.X("production_date:T", title=None, axis=alt.Axis(format="%d %b", tickCount=6, grid=False)),
            y=alt.Y("rate:Q", title=RATE_UNITS[network.value], axis=alt.Axis(format="~s")),
            color=alt.Color(
                "quantity:N",
                title=None,
                scale=alt.Scale(domain=list(QUANTITIES), range=list(QUANTITIES.values())),
                legend=alt.Legend(orient="top"),
            ),
            strokeDash=alt.StrokeDash(
                "quantity:N",
                legend=None,
                scale=alt.Scale(domain=list(QUANTITIES), range=[[1, 0], [1, 0], [5, 4]]),
            ),
            facet=alt.Facet("hub:N", columns=3, title=None),
        )
        .properties(width=250, height=140)
    )
    mo.vstack([mo.md("## Production, potential and business target of every hub"), trend_chart])
    return daily, trend_chart


@app.cell
def _(connection, network, window):
    drivers = top_drivers(connection, network.value, window.value)
    driver_chart = (
        alt.Chart(alt.Data(values=drivers.to_dicts()))
        .mark_bar()
        .encode(
            x=alt.X("volume:Q", title=f"share of deferment, {VOLUME_UNITS[network.value]}", axis=alt.Axis(format="~s")),
            y=alt.Y("title:N", sort="-x", title=None, axis=alt.Axis(labelLimit=340)),
            color=alt.Color("choke:N", title=None, scale=alt.Scale(domain=CHOKES, range=CHOKE_COLOURS)),
        )
        .properties(width=480)
    )
    mo.vstack(
        [
            mo.md("## What deferred it: the largest drivers"),
            driver_chart if drivers.height else mo.md("No driver in this window; flared gas never has one."),
        ]
    )
    return driver_chart, drivers


@app.cell
def _(connection, network, window):
    closure = closure_of(connection, network.value, window.value)
    mo.vstack([mo.md("## Closure: drivers and the unattributed rest sum to the deferment"), closure])
    return (closure,)


if __name__ == "__main__":
    app.run()
