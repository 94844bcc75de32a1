"""All Dagster code and nothing else."""
