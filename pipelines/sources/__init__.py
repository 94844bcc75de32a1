"""Clients of the operator's source systems: ask, page, wait, decode.

Belongs here: what a vendor's system answers and how it fails. Does not: the lake, the environment, Dagster, unit
conversion, the simulators. Every client takes an explicit configuration and gives Polars frames of canonical columns.
"""
