"""The whole examination of what the settings describe, in the order in which one fault explains the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pipelines import settings as environment
from pipelines.doctor.energy_components import examine_oracle, examine_rest
from pipelines.doctor.examination import CHECK_SECONDS, READ_SECONDS, Examination, Row
from pipelines.doctor.pi import examine_pi
from pipelines.doctor.places import examine_places
from pipelines.doctor.sharepoint import examine_sharepoint
from pipelines.doctor.site import examine_site
from pipelines.settings import Settings, SettingsError
from pipelines.site_settings import SOURCES
from pipelines.sources.config import EcOracleConfig, EcRestConfig, secrets_of
from pipelines.sources.http_words import Redactor
from pipelines.stages.workspace import Workspace

SETTINGS = "settings"


def examine(
    settings: Settings,
    *,
    sources: Collection[str] = SOURCES,
    seconds: float = CHECK_SECONDS,
    read_seconds: float = READ_SECONDS,
    on_row: Callable[[Row], None] = lambda _row: None,
    begun: Callable[[str, str], None] = lambda _source, _check: None,
) -> Examination:
    """Every check of the configured ones among `sources`, and of the site's folder and storage. Never raises for a fault."""
    exam = Examination(
        redact=Redactor(secret.reveal() for secret in secrets_of(settings)),
        on_row=on_row,
        begun=begun,
        seconds=seconds,
        read_seconds=read_seconds,
    )
    ws = examine_site(exam, settings)
    if ws is None:
        exam.skip("storage", ["lake", "warehouse"], "it needs the site's folder without faults")
        for name in settings.configured_sources:
            exam.skip(name, ["every check"], "it needs the site's folder without faults")
        return exam
    examine_places(exam, ws.lake, ws.warehouse_dir)
    _examine_sources(exam, ws, [name for name in settings.configured_sources if name in sources])
    return exam


def examine_environment(environ: Mapping[str, str] | None = None) -> tuple[Settings | None, list[Row]]:
    """The settings, or None and a row for each fault of the environment; no value of a secret stands in a fault."""
    try:
        settings = environment.load(environ)
    except SettingsError as error:
        faults = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        advice = "set what is named; .env.example says what each is for"
        return None, [Row(SETTINGS, "environment", "failed", fault, advice) for fault in faults]
    told = f"OPERATOR={settings.operator}; configured: {', '.join(settings.configured_sources)}"
    return settings, [Row(SETTINGS, "environment", "ok", told)]


def _examine_sources(exam: Examination, ws: Workspace, names: Collection[str]) -> None:
    zone, config = ws.site.zone, ws.energy_components
    if "energy_components" in names:
        if isinstance(config, EcRestConfig):
            examine_rest(exam, config, ws.datasets, zone=zone, now=ws.now, latest=ws.latest_label)
        elif isinstance(config, EcOracleConfig):
            examine_oracle(exam, config, ws.datasets, zone=zone, now=ws.now, latest=ws.latest_label)
    register: frozenset[str] = frozenset()
    if "sharepoint" in names and ws.sharepoint is not None:
        register = examine_sharepoint(exam, ws.sharepoint, ws.sharepoint_mapping, zone=zone, now=ws.now)
    if "pi" in names and ws.pi is not None:
        tags = dict(ws.site.tags.select("tag_name", "tag_id").iter_rows())
        examine_pi(exam, ws.pi, tags, register, now=ws.now)
