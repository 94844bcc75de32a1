"""Hub trends and gap drivers of the current release: the SQL views that analysts build on."""

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


@app.function
def open_release() -> tuple[duckdb.DuckDBPyConnection, Path]:
    """The current release, read-only: opening it never blocks the pipeline or the API."""
    path = release_path(Path(os.environ.get("WAREHOUSE_DIR", "var/warehouse")))
    connection = duckdb.connect(str(path), read_only=True)
    connection.execute("SET GLOBAL TimeZone='UTC'")
    return connection, path


@app.function
def hub_daily(connection: duckdb.DuckDBPyConnection, network: str, days: int) -> pl.DataFrame:
    """Daily production, target and potential of every hub over the last `days` labels, rates per 24 h."""
    return connection.sql(
        """
        SELECT node_id AS hub_id, production_date, production, business_target, potential, deferment, quality
        FROM production_daily
        WHERE node_level = 'hub' AND network = $network
          AND production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER
        ORDER BY hub_id, production_date
        """,
        params={"network": network, "days": days},
    ).pl()


@app.function
def top_drivers(connection: duckdb.DuckDBPyConnection, network: str, days: int, limit: int = 12) -> pl.DataFrame:
    """Events by their share of deferment over the last `days` labels, the residual as `unattributed`; volumes in bbl or scf."""
    return connection.sql(
        """
        SELECT d.event_id, coalesce(any_value(e.title), d.event_id) AS title, sum(d.volume) AS volume,
               any_value(d.choke) AS choke, count(DISTINCT d.production_date) AS day_count
        FROM gap_driver_daily d LEFT JOIN event e USING (event_id)
        WHERE d.network = $network
          AND d.production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER
        GROUP BY d.event_id ORDER BY volume DESC, d.event_id LIMIT $limit
        """,
        params={"network": network, "days": days, "limit": limit},
    ).pl()


@app.cell
def _():
    connection, path = open_release()
    info = connection.sql("SELECT * FROM release_info").pl().row(0, named=True)
    mo.md(
        f"""
        # Hub trends and gap drivers
        Release `{info["release_id"]}` of **{info["operator"]}**{" (fictitious)" if info["is_synthetic"] else ""},
        production days {info["first_production_date"]} to {info["latest_production_date"]}, file `{path}`.
        """
    )
    return (connection,)


@app.cell
def _():
    network = mo.ui.dropdown(["oil", "domesticGas", "exportGas", "flaredGas"], value="oil", label="Network")
    window = mo.ui.dropdown({"7 days": 7, "30 days": 30, "90 days": 90}, value="30 days", label="Window")
    mo.hstack([network, window], justify="start")
    return network, window


@app.cell
def _(connection, network, window):
    daily = hub_daily(connection, network.value, window.value)
    long = daily.unpivot(
        index=["hub_id", "production_date"],
        on=["production", "business_target", "potential"],
        variable_name="quantity",
        value_name="rate",
    ).with_columns(pl.col("production_date").cast(pl.String))
    trend_chart = (
        alt.Chart(alt.Data(values=long.to_dicts()))
        .mark_line()
        .encode(
            x=alt.X("production_date:T", title="production day"),
            y=alt.Y("rate:Q", title="rate per 24 h"),
            color=alt.Color("quantity:N", title=None),
            facet=alt.Facet("hub_id:N", columns=2, title=None),
        )
        .properties(width=300, height=160)
    )
    trend_chart
    return daily, trend_chart


@app.cell
def _(connection, network, window):
    drivers = top_drivers(connection, network.value, window.value)
    driver_chart = (
        alt.Chart(alt.Data(values=drivers.to_dicts()))
        .mark_bar()
        .encode(
            x=alt.X("volume:Q", title="share of deferment (volume)"),
            y=alt.Y("title:N", sort="-x", title=None),
            color=alt.Color("choke:N", title="choke"),
        )
        .properties(width=620)
    )
    driver_chart
    return driver_chart, drivers


@app.cell
def _(connection, network, window):
    closure = connection.sql(
        """
        SELECT sum(volume) AS drivers_and_unattributed,
               (SELECT sum(deferment_volume) FROM production_daily
                WHERE node_level = 'system' AND network = $network
                  AND production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER) AS deferment
        FROM gap_driver_daily
        WHERE network = $network
          AND production_date > (SELECT latest_production_date FROM release_info) - $days::INTEGER
        """,
        params={"network": network.value, "days": window.value},
    ).pl()
    mo.vstack([mo.md("## Closure: drivers and unattributed sum to deferment"), closure])
    return (closure,)


if __name__ == "__main__":
    app.run()
