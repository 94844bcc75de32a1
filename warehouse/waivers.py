"""waivers.json: permissions given by name for the next release, which spends them all, needed or not.

A waiver that a release needed stands in its manifest for ever. Light: msgspec and the standard library only.
"""

from collections.abc import Iterable
from pathlib import Path

import msgspec

from warehouse.errors import BuildInputError
from warehouse.manifest import Waiver
from warehouse.release_files import exclusive_lock, write_durable

WAIVERS = "waivers.json"
LOCK = ".waivers.lock"

_decoder = msgspec.json.Decoder(list[Waiver])


def pending(warehouse_dir: Path) -> list[Waiver]:
    """Waivers that the next release may use. Raises BuildInputError where the file is no list of waivers."""
    path = warehouse_dir / WAIVERS
    try:
        return _decoder.decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise BuildInputError([f"{path} is no list of waivers ({fault}); delete it and give them again"]) from fault


def give(warehouse_dir: Path, waiver: Waiver, *, allowed: Iterable[str]) -> None:
    """Permit the next release to break a gate of `allowed`. Raises BuildInputError with every fault of the waiver."""
    known = sorted(allowed)
    faults = [] if waiver.gate in known else [f"no gate {waiver.gate!r} can be waived; these can: {', '.join(known)}"]
    faults += [f"{name} must not be empty" for name in ("by", "reason") if not getattr(waiver, name).strip()]
    if faults:
        raise BuildInputError(faults)
    with exclusive_lock(warehouse_dir / LOCK):
        others = [w for w in pending(warehouse_dir) if w.gate != waiver.gate]
        _write(warehouse_dir, [*others, waiver])


def spend(warehouse_dir: Path, used: Iterable[Waiver]) -> None:
    """Take these away; those given meanwhile stay."""
    gone = list(used)
    if not gone:
        return
    with exclusive_lock(warehouse_dir / LOCK):
        _write(warehouse_dir, [w for w in pending(warehouse_dir) if w not in gone])


def _write(warehouse_dir: Path, waivers: list[Waiver]) -> None:
    path = warehouse_dir / WAIVERS
    if waivers:
        write_durable(path, msgspec.json.format(msgspec.json.encode(waivers), indent=1))
    else:
        path.unlink(missing_ok=True)
