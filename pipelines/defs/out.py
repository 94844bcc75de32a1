"""Out: what a release publishes."""

from pipelines.defs.factory import stage_asset

out__production = stage_asset("out__production")
out__gap_driver = stage_asset("out__gap_driver")
out__terminal = stage_asset("out__terminal")
out__restatement = stage_asset("out__restatement")
out__hub_trend = stage_asset("out__hub_trend")
