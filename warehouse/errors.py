"""Faults of the warehouse, told apart by what the caller can do. Light: the standard library only."""

from collections.abc import Sequence


class WarehouseError(Exception):
    """Any fault of the warehouse."""


class NoRelease(WarehouseError):
    """Nothing was ever published in this warehouse, or nothing could be loaded from it."""


class ReleaseNotFound(WarehouseError):
    """The release is not kept (any more); `nearest` names the kept one nearest to it, or is None."""

    def __init__(self, release_id: str, nearest: str | None) -> None:
        hint = f"the nearest kept one is {nearest}" if nearest else "none is kept"
        super().__init__(f"release {release_id} is not kept: {hint}")
        self.release_id = release_id
        self.nearest = nearest


class ReleaseCorrupt(WarehouseError):
    """A release's files are not what its manifest says; it must not be served."""

    def __init__(self, release_id: str, detail: str) -> None:
        super().__init__(f"release {release_id} is corrupt: {detail}; activate another release or publish a new one")
        self.release_id = release_id
        self.detail = detail


class PointerCorrupt(WarehouseError):
    """The pointer `current` is no valid pointer."""


class PointerMoved(WarehouseError):
    """Another publisher moved the pointer since it was read; build again from the release that won."""

    def __init__(self, expected: int, found: int) -> None:
        super().__init__(f"the pointer stands at sequence {found}, not {expected}: another publisher won, build again")
        self.expected = expected
        self.found = found


class OperatorMismatch(WarehouseError):
    """The warehouse and the caller belong to different operators."""


class SyntheticRefused(WarehouseError):
    """A synthetic release where only real ones may be served."""


class BuildInputError(WarehouseError):
    """The tables handed to a build are not the catalogue's: all faults at once."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("cannot build a release: " + "; ".join(faults))
        self.faults = tuple(faults)


class BuildFailed(WarehouseError):
    """A release could not be written or moved into place; readers keep the last one."""


class QueryNotFound(WarehouseError):
    """No file in sql/queries has this name."""


class QueryFaulty(WarehouseError):
    """A query file is not one statement with a header, or its parameters do not fit."""


class QueryTimeout(WarehouseError):
    """A query took longer than its limit and was ended."""


class StatusCorrupt(WarehouseError):
    """status.json is no valid status file."""


class StorageFault(WarehouseError):
    """Object storage could not be asked, or said no; the message names the blob and the reason, never a credential."""


class StorageSilent(StorageFault):
    """Object storage gave no answer: whether it did what was asked is not known."""


class StorageConflict(WarehouseError):
    """A conditional write of a blob lost: somebody else wrote it first."""
