"""Operators' reference folders: data, no code."""
