"""The HTTP API: contracts, routes, caching and telemetry over a release.

Belongs here: what a caller sees. Does not belong: any formula of the domain (pipelines) and any SQL (warehouse).
"""
