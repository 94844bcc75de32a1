"""The site's own folder: it loads, its mappings parse, and what it says it has is what is configured."""

from __future__ import annotations

from pipelines.doctor.examination import Examination, Finding, Trouble
from pipelines.settings import Settings
from pipelines.site import SiteError
from pipelines.sources.mapping import MappingFaults
from pipelines.stages.workspace import Workspace, open_workspace

NAME = "site"
_VARIABLES = {"energy_components": "EC_API_* or EC_DB_*", "pi": "PI_*", "sharepoint": "SP_*"}


def examine_site(exam: Examination, settings: Settings) -> Workspace | None:
    """Load the folder that OPERATOR names; None where it has faults, since nothing can be compared with it then."""
    opened: list[Workspace] = []

    def load() -> str:
        try:
            ws = open_workspace(settings)
        except SiteError as error:
            raise Trouble(str(error), "correct the files named; OPERATOR names the folder") from None
        opened.append(ws)
        return f"{ws.site.folder}: {ws.site.facilities.height} facilities, {ws.site.tags.height} tags"

    if not exam.check(NAME, "folder", load, settings="OPERATOR"):
        return None
    ws = opened[0]
    exam.check(NAME, "mappings", lambda: _mappings(ws), needs=["folder"])
    exam.check(NAME, "sources", lambda: _sources(ws, settings), needs=["folder"])
    return ws if exam.passed(NAME, "mappings") else None


def _mappings(ws: Workspace) -> str:
    faults = []
    for name in ("datasets", "sharepoint_mapping"):
        try:
            getattr(ws, name)
        except MappingFaults as error:
            faults.append(str(error))
    if faults:
        raise Trouble("; ".join(faults), "correct energy_components.toml and sharepoint.toml of the site")
    mapped = ws.sharepoint_mapping
    return f"{len(ws.datasets)} datasets of EC, {len(mapped.lists)} lists and {len(mapped.workbooks)} workbooks"


def _sources(ws: Workspace, settings: Settings) -> Finding:
    expected, configured = set(ws.site.sources), set(settings.configured_sources)
    absent = [f"{name} ({_VARIABLES[name]})" for name in sorted(expected - configured)]
    if absent:
        return Finding(
            f"operator.toml names sources that are not set: {', '.join(absent)}",
            "set their variables, or take them out of operator.toml: what only they know stays unknown",
            is_warning=True,
        )
    strangers = ", ".join(sorted(configured - expected))
    if strangers:
        advice = "add [sources.…] with its sla_hours to operator.toml: a day is taken for it until then"
        return Finding(f"set, and not named in operator.toml: {strangers}", advice, is_warning=True)
    return Finding(f"set as operator.toml has them: {', '.join(sorted(configured))}")
