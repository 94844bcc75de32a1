"""The one door that Dagster opens."""

from pathlib import Path

import dagster as dg


@dg.definitions
def defs() -> dg.Definitions:
    """Everything under pipelines/defs."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
