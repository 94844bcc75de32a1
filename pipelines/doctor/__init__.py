"""Examines each configured source and the places that are written to, and says what to do about what is wrong."""
