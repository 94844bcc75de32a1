"""The release: build, gates, pointer."""

from pipelines.defs.factory import stage_asset

warehouse__release = stage_asset("warehouse__release")
