"""Energy Components: daily datasets by production day, registers as snapshots."""

from pipelines.defs.factory import stage_asset

raw_energy_components__daily = stage_asset("raw_energy_components__daily")
raw_energy_components__register = stage_asset("raw_energy_components__register")
