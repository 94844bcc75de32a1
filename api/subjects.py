"""The subjects whose first answers are made before a release is switched to."""

from api.routes import (
    assets,
    facilities,
    gap_drivers,
    hub_performance,
    production_flow,
    reconciliation,
    summary,
    terminal_operations,
)

SUBJECTS = (
    summary.prepare,
    assets.prepare,
    production_flow.prepare,
    gap_drivers.prepare,
    terminal_operations.prepare,
    hub_performance.prepare,
    reconciliation.prepare,
    facilities.prepare,
)
