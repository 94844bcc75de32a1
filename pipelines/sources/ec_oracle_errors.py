"""What an Oracle error means for the reader: wait, ask again, or call a person.

The driver's own `isrecoverable` is false for time-outs and snapshots too old, and true for sessions that were killed, so
the table stands here (sources.md D.2).
"""

from __future__ import annotations

import re
from collections.abc import Callable

import oracledb

from pipelines.sources.errors import Asking, SourceBroken, SourceError, SourceUnavailable

RETRIED = frozenset(
    {
        "DPY-4005",  # no connection of the pool became free in time
        "DPY-4011",  # dropped; this connection must not be touched again
        "DPY-4024",  # one round trip took too long
        "DPY-6005",  # refused or closed at connect, or the service is not registered yet
        "ORA-00028",
        "ORA-01033",  # starting up or shutting down
        "ORA-01034",
        "ORA-01089",
        "ORA-01555",  # the snapshot is too old: a new transaction has a new one
        "ORA-03113",
        "ORA-04068",
        "ORA-12170",
        "ORA-12514",
        "ORA-12528",
    }
)
_ADVICE = {
    "ORA-00904": "not retried: the view lacks a column of the mapping; run the preflight and correct oracle_sql",
    "ORA-00942": "not retried: correct oracle_sql, or grant SELECT on the view to this user",
    "ORA-01017": "not retried, since that locks the account: check user and password",
    "ORA-01031": "not retried: grant SELECT on the view to this user",
    "ORA-28000": "not retried: the account is locked; have it unlocked",
    "ORA-28001": "not retried: the password has expired; have it renewed",
}
# Causes inside DPY-6005 that no waiting mends: refused credentials, a server older than 12.1.
_FINAL_CAUSES = re.compile(r"ORA-01017|ORA-28000|ORA-28001|DPY-3010|DPY-4027")
# The driver adds links and identifiers of the attempt, different each time.
_NOISE = re.compile(r"\s*(Help: \S+|\(?CONNECTION_ID=[^)\s]*\)?)")


def code_of(error: oracledb.Error) -> str:
    """The error's code, such as ORA-00942 or DPY-4011; empty when it has none."""
    detail = error.args[0] if error.args else None
    return str(getattr(detail, "full_code", "") or "")


def is_retried(error: oracledb.Error) -> bool:
    """Whether another attempt, on another connection, may succeed."""
    if isinstance(error, oracledb.InternalError):
        # The driver's word for bytes that are no answer of Oracle's.
        return True
    return code_of(error) in RETRIED and not _FINAL_CAUSES.search(str(error))


def as_source_error(error: oracledb.Error, asking: Asking, asked: str, redact: Callable[[str], str]) -> SourceError:
    """The error in the words of this project: unavailable when it was worth retrying, else broken."""
    text = redact(" ".join(_NOISE.sub("", str(error)).split()))
    if is_retried(error):
        return SourceUnavailable(asking, asked=asked, came=text)
    final = _FINAL_CAUSES.search(str(error))
    return SourceBroken(
        asking, asked=asked, came=text, what_next=_ADVICE.get(final[0] if final else code_of(error), "")
    )
