"""Uncertainty of the meters that a facility's flow is counted by, as the site's streams.csv states it.

Here: one relative standard deviation a facility and network. Not here: what a deviation means (potential, reconciliation).
"""

import polars as pl

from pipelines.transforms.potential import DEFAULT_SIGMA_FRACTION
from pipelines.transforms.production import STREAM_ROLES


def meter_sigmas(streams: pl.DataFrame) -> pl.DataFrame:
    """facility_id, network, sigma_fraction (of the reading, 1 sigma), sorted; one row a facility and network with a stream.

    The streams are those that make the facility's production row: of the first role it has in STREAM_ROLES. A sum of
    meters has at most the largest fraction among them, which is what stands; a meter that states none counts as 1 %.
    """
    roles = {role: place for place, role in enumerate(STREAM_ROLES)}
    ranked = streams.filter(pl.col("role").is_in(list(roles))).with_columns(
        rank=pl.col("role").replace_strict(roles, return_dtype=pl.Int64),
        sigma=pl.col("sigma_fraction").fill_null(DEFAULT_SIGMA_FRACTION),
    )
    place = ["facility_id", "network"]
    return (
        ranked.filter(pl.col("rank") == pl.col("rank").min().over(place))
        .group_by(place)
        .agg(sigma_fraction=pl.col("sigma").max())
        .sort(place)
    )
