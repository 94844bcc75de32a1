"""The stages in the order in which they run, each upstream before its dependents. Dagster and bootstrap both read this."""

from pipelines.stages import (
    core_event,
    core_intraday,
    core_production,
    core_reading,
    core_register,
    core_terminal,
    out_gap_driver,
    out_hub_trend,
    out_production,
    out_restatement,
    out_terminal,
    raw_energy_components,
    raw_pi,
    raw_sharepoint,
    release,
)
from pipelines.stages.stage import Stage

_ORDERED: tuple[Stage, ...] = (
    raw_energy_components.DAILY,
    raw_energy_components.REGISTER,
    raw_sharepoint.REGISTER,
    raw_pi.RECORDED_VALUE,
    raw_pi.TANK_GAUGE,
    core_register.STAGE,
    core_reading.STAGE,
    core_intraday.STAGE,
    core_production.STAGE,
    core_terminal.STAGE,
    core_event.STAGE,
    out_production.STAGE,
    out_gap_driver.STAGE,
    out_terminal.STAGE,
    out_restatement.STAGE,
    out_hub_trend.STAGE,
    release.STAGE,
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _ORDERED}
# What a refresh of the terminals alone runs: gauges, what hangs on them, and the telling of what changed.
TERMINAL_STAGES: tuple[str, ...] = (
    raw_pi.TANK_GAUGE.name,
    core_reading.STAGE.name,
    core_terminal.STAGE.name,
    out_terminal.STAGE.name,
    out_restatement.STAGE.name,
    release.STAGE.name,
)
