"""Running sources, one lake that is loaded from them, and what was asked of them: for the tests of what a refresh reads."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import polars as pl

from pipelines import settings
from pipelines.settings import Settings, clock
from pipelines.simulators.launch import Running, start_simulators
from pipelines.simulators.replay_energy_components import View
from pipelines.stages import raw_energy_components, raw_sharepoint
from pipelines.stages.stage import StageResult
from pipelines.stages.workspace import Workspace, label_range, open_workspace
from pipelines.watermark import NAME

HISTORY_DAYS, PI_DAYS = 14, 1
NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
LAST = date(2026, 11, 21)
LABELS = label_range(LAST - timedelta(days=HISTORY_DAYS - 1), LAST)
STREAM = "raw_energy_components__stream_day"
EVENT = "raw_energy_components__deferment_event"
TARGET = "raw_sharepoint__business_target"
LISTS = ("Business targets", "Capacity register")


@dataclass
class Rig:
    """Running sources and one lake that was loaded from them."""

    running: Running
    settings: Settings
    workspace: Workspace
    told: list[str]
    release_id: str = ""

    def at(self, moment: datetime = NOW, **changes: Any) -> Workspace:
        """The workspace at an instant; the sources' clocks follow."""
        self.running.clock.set(moment)
        return replace(self.workspace, now=clock(moment), written=[], **changes)

    def view(self, name: str) -> View:
        """A view of Energy Components, to be edited while it is served."""
        server = self.running.servers["energy_components"]
        view: View = server.system.replay.views[name]  # type: ignore[attr-defined]
        return view

    def forget_requests(self) -> None:
        """Count from here."""
        self.told.clear()
        for server in self.running.servers.values():
            server.system.requests.clear()
            server.system.counts.clear()

    def asked(self, system: str, path: str = "") -> list[str]:
        """Targets that a system was asked for, oldest first, without tokens."""
        found = (unquote(target) for _, target, _ in self.running.servers[system].system.requests)
        return [target for target in found if path in target and "/token" not in target]

    def rows(self, system: str, name: str) -> int:
        """How much a system has served."""
        return self.running.servers[system].system.counts[name]

    def whole_days(self, view: str) -> list[tuple[str, str]]:
        """Ranges of days (end exclusive) that were read whole of a view."""
        queries = [parse_qs(urlsplit(target).query) for target in self.asked("energy_components", view)]
        return [(q["from_day"][0], q["to_day"][0]) for q in queries if "updated_since" not in q]

    def hashes(self, *tables: str) -> dict[tuple[str, str], str]:
        """Content of the current partitions by table and partition."""
        lake = self.workspace.lake
        return {(t, p.partition): p.entry.sha256 for t in tables for p in lake.partitions(t)}

    def files(self, *, marks: bool = True) -> dict[str, bytes]:
        """Every file of the lake; watermarks only with `marks`."""
        root = self.workspace.lake.root
        paths = (path for path in sorted(root.rglob("*")) if path.is_file() and (marks or path.name != NAME))
        return {str(path.relative_to(root)): path.read_bytes() for path in paths}

    def releases(self) -> list[str]:
        return sorted(path.name for path in (self.workspace.warehouse_dir / "releases").iterdir())


def start(root: Path) -> Iterator[Rig]:
    with start_simulators(
        "sandbox", data_root=root / "data", now=NOW, history_days=HISTORY_DAYS, pi_days=PI_DAYS
    ) as running:
        loaded = settings.load(
            running.environment()
            | {
                "LAKE_URL": str(root / "lake"),
                "WAREHOUSE_DIR": str(root / "warehouse"),
                "HISTORY_DAYS": str(HISTORY_DAYS),
                "PI_DAYS": str(PI_DAYS),
            }
        )
        told: list[str] = []
        yield Rig(running, loaded, open_workspace(loaded, report=told.append), told)


def daily(rig: Rig, moment: datetime = NOW, **changes: Any) -> StageResult:
    return raw_energy_components.extract_daily(rig.at(moment, **changes), LABELS)


def registers(rig: Rig, moment: datetime = NOW, **changes: Any) -> StageResult:
    return raw_sharepoint.extract_register(rig.at(moment, **changes), LABELS[-1:])


def correction(rig: Rig, label: date, stamp: datetime, *, factor: float = 1.01) -> dict[str, Any]:
    """Enter the next revision of one production stream's day; gives the row."""
    view = rig.view("DV_STRM_DAY_STREAM")
    stands = view.visible(NOW).filter((pl.col("DAYTIME") == label) & (pl.col("NET_VOL") > 0.0))
    row = stands.filter(pl.col("OBJECT_CODE").is_in(streams_of(rig))).sort("OBJECT_CODE").row(0, named=True)
    row |= {"NET_VOL": round(row["NET_VOL"] * factor, 1), "REV_NO": row["REV_NO"] + 1, "LAST_UPDATED_UTC": stamp}
    view.put(row)
    return row


def streams_of(rig: Rig) -> list[str]:
    streams = rig.workspace.site.streams
    return streams.filter((pl.col("role") == "production") & (pl.col("network") == "oil"))["stream_ec_code"].to_list()


def moved(rig: Rig, before: dict[tuple[str, str], str], *tables: str) -> set[str]:
    """Partitions whose content is another than before."""
    return {partition for (t, partition), sha in rig.hashes(*tables).items() if before.get((t, partition)) != sha}


def killed(*_: object) -> None:
    raise KeyboardInterrupt
