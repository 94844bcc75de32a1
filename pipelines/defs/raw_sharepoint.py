"""SharePoint: lists and workbooks as snapshots."""

from pipelines.defs.factory import stage_asset

raw_sharepoint__register = stage_asset("raw_sharepoint__register")
