"""Object storage in this process's memory, which can be told to fail, and what tests of several publishers share."""

from pathlib import Path
from typing import Any

from obstore.store import MemoryStore

from tests.unit.warehouse.frames import request_for, tiny_release_tables
from warehouse.build_publish import PublishResult, build_and_publish
from warehouse.errors import StorageFault
from warehouse.mirror import Mirror
from warehouse.object_store import Objects
from warehouse.remote import Remote


class Storage(Objects):
    """Memory as storage. `is_down`: nothing answers; `lost`: names whose next write happens and whose answer is lost."""

    def __init__(self, memory: MemoryStore | None = None) -> None:
        super().__init__(memory or MemoryStore(), "az://lake/site/_releases")
        self.is_down = False
        self.lost: set[str] = set()
        self.reads: list[str] = []

    def read(self, name: str, *, unless: str | None = None) -> Any:
        self._look()
        self.reads.append(name)
        return super().read(name, unless=unless)

    def download(self, name: str, target: Path) -> str:
        self._look()
        self.reads.append(name)
        return super().download(name, target)

    def _put(self, name: str, content: bytes, mode: Any) -> str:
        self._look()
        tag = super()._put(name, content, mode)
        if name in self.lost:
            self.lost.discard(name)
            raise StorageFault(f"could not write {name}: no answer")
        return tag

    def list(self, prefix: str = "", *, before: str | None = None) -> Any:
        self._look()
        return super().list(prefix, before=before)

    def _look(self) -> None:
        if self.is_down:
            raise StorageFault("could not read az://lake/site/_releases: no answer (connect)")


def mirror(storage: Objects, folder: Path) -> Mirror:
    """A local copy that looks at the storage whenever it is told to."""
    return Mirror(Remote(storage), folder, poll_seconds=0.0)


def publish(one: Mirror, days: int, *, capacity: float = 0.0) -> PublishResult:
    """Publish the tiny operator's last days; another `capacity` is another content."""
    tables = tiny_release_tables(days)
    changes = {}
    if capacity:
        name = "out__daily_production"
        tables[name] = tables[name].with_columns(max_capacity=tables[name]["max_capacity"] + capacity)
    return build_and_publish(one.warehouse_dir, tables, info=request_for(tables, **changes), mirror=one)


def copy_of(storage: Storage) -> Storage:
    """Another storage that holds the same."""
    other = Storage()
    for blob in storage.list():
        found = storage.read(blob.name)
        other.write(blob.name, found.content)
    return other
