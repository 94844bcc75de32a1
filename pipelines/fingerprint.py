"""What core and out were computed by: the calculations' code and the operator's reference files, as one hash.

Where it differs from what the lake was last computed by, every day is computed anew from raw: an upgrade or a corrected
reference file never leaves old days beside new ones.
"""

import hashlib
from pathlib import Path

from pipelines.lake import Lake

_CODE = ("transforms", "stages")
_MARK = "_computed_by"
_REFERENCE_SUFFIXES = {".csv", ".toml"}


def fingerprint(reference_folder: Path) -> str:
    """Hash of the modules that compute and of the reference files; independent of where they stand."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    modules = [path for folder in _CODE for path in (here / folder).glob("*.py")]
    reference = [path for path in reference_folder.iterdir() if path.suffix in _REFERENCE_SUFFIXES]
    for path in sorted([*modules, *reference], key=lambda p: (p.parent.name, p.name)):
        digest.update(path.name.encode() + b"\x00" + path.read_bytes() + b"\x00")
    return digest.hexdigest()


def is_computed_by(lake: Lake, mark: str) -> bool:
    """Whether the lake's core and out tables were last computed by what the mark stands for."""
    return lake.read_bytes(_MARK) == mark.encode()


def set_computed_by(lake: Lake, mark: str) -> None:
    """Note that every day of core and out now comes from what the mark stands for."""
    lake.settle()
    lake.write_bytes(_MARK, mark.encode())
