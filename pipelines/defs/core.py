"""Core: cleaned facts in base units."""

from pipelines.defs.factory import stage_asset

core__register = stage_asset("core__register")
core__reading = stage_asset("core__reading")
core__intraday = stage_asset("core__intraday")
core__production = stage_asset("core__production")
core__event = stage_asset("core__event")
core__terminal = stage_asset("core__terminal")
