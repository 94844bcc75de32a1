"""The small shared files beside the releases, `status.json` and `waivers.json`: changed by compare-and-swap on their tag.

Several machines may read sources, and waivers are given from any of them. Light: msgspec and the standard library only.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec

from warehouse.errors import BuildInputError, StorageConflict
from warehouse.manifest import Waiver
from warehouse.remote import Remote
from warehouse.status import FORMAT, STATUS, SourceStatus, Status
from warehouse.waivers import WAIVERS

# Writers are few and a change takes milliseconds: losing this often in a row means something else is wrong.
ATTEMPTS = 50


def share_status(remote: Remote, source: SourceStatus, now: datetime | None = None) -> Status:
    """Put one source's status into the shared file and keep the others'; the whole file. A damaged one is begun anew.

    The newest instant of data and of success that any machine saw stands.
    """

    def changed(content: bytes | None) -> Status:
        sources = _sources(content)
        known = sources.get(source.source)
        after = source
        if known is not None:
            after = msgspec.structs.replace(
                source,
                data_as_of=_newest(known.data_as_of, source.data_as_of),
                last_success=_newest(known.last_success, source.last_success),
            )
        return Status(updated_at_utc=now or datetime.now(UTC), sources=sources | {source.source: after})

    status = Status()

    def change(content: bytes | None) -> bytes:
        nonlocal status
        status = changed(content)
        return msgspec.json.format(msgspec.json.encode(status), indent=1)

    _update(remote, STATUS, change)
    return status


def _newest(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((instant for instant in (one, other) if instant is not None), default=None)


def shared_status(remote: Remote) -> Status:
    """The shared file; empty where there is none or it is damaged."""
    blob = remote.objects.read(STATUS)
    return Status(sources=_sources(blob.content if blob else None))


def _sources(content: bytes | None) -> dict[str, SourceStatus]:
    try:
        status = msgspec.json.decode(content or b"{}", type=Status)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {}
    return status.sources if status.format == FORMAT else {}


def pending_waivers(remote: Remote) -> list[Waiver]:
    """Waivers that the next release may use. Raises BuildInputError where the file is no list of waivers."""
    blob = remote.objects.read(WAIVERS)
    return _waivers(remote, blob.content if blob else None)


def give_waiver(remote: Remote, waiver: Waiver, *, allowed: Iterable[str]) -> None:
    """Permit the next release to break a gate of `allowed`. Raises BuildInputError with every fault of the waiver."""
    known = sorted(allowed)
    faults = [] if waiver.gate in known else [f"no gate {waiver.gate!r} can be waived; these can: {', '.join(known)}"]
    faults += [f"{name} must not be empty" for name in ("by", "reason") if not getattr(waiver, name).strip()]
    if faults:
        raise BuildInputError(faults)
    _change_waivers(remote, lambda given: [*(w for w in given if w.gate != waiver.gate), waiver])


def spend_waivers(remote: Remote, used: Iterable[Waiver]) -> None:
    """Take these away; those given meanwhile stay."""
    gone = list(used)
    if gone:
        _change_waivers(remote, lambda given: [w for w in given if w not in gone])


def _change_waivers(remote: Remote, change: Callable[[list[Waiver]], list[Waiver]]) -> None:
    _update(
        remote,
        WAIVERS,
        lambda content: msgspec.json.format(msgspec.json.encode(change(_waivers(remote, content))), indent=1),
    )


def _waivers(remote: Remote, content: bytes | None) -> list[Waiver]:
    try:
        return msgspec.json.decode(content or b"[]", type=list[Waiver])
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        place = f"{remote.place}/{WAIVERS}"
        raise BuildInputError([f"{place} is no list of waivers ({fault}); delete it and give them again"]) from fault


def _update(remote: Remote, name: str, change: Callable[[bytes | None], bytes]) -> None:
    """Read, change and write back until nobody wrote in between. Raises StorageConflict after losing too often."""
    lost: StorageConflict | None = None
    for _ in range(ATTEMPTS):
        blob = remote.objects.read(name)
        content = change(blob.content if blob else None)
        try:
            if blob is None:
                remote.objects.create(name, content)
            else:
                remote.objects.replace(name, content, blob.tag)
            return
        except StorageConflict as conflict:
            lost = conflict
    assert lost is not None
    raise lost
