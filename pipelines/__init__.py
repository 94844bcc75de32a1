"""From source systems to a release: sources, lake, transforms, stages, and the Dagster wiring in defs."""
