"""PI Web API: process tags and tank gauges by production day."""

from pipelines.defs.factory import stage_asset

raw_pi__recorded_value = stage_asset("raw_pi__recorded_value")
raw_pi__tank_gauge = stage_asset("raw_pi__tank_gauge")
