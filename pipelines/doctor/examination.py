"""Checks one after the other, each under a deadline of its own; a failed one stops only those that need it.

Whatever a check tells passes the redactor: a server may echo what it was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipelines.sources.ec_oracle_guard import guarded
from pipelines.sources.errors import SourceError
from pipelines.sources.http_deadline import Deadline

Outcome = Literal["ok", "warning", "failed", "not tried"]
Advise = Callable[[SourceError], str]
# A look at one address, login or name.
CHECK_SECONDS = 30.0
# A read of rows.
READ_SECONDS = 120.0
# What a checked message keeps of a server's words.
_LONGEST = 600


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    source: str
    check: str
    outcome: Outcome
    result: str
    advice: str = ""


@dataclass(frozen=True)
class Finding:
    """What a check found without failing."""

    result: str
    advice: str = ""
    is_warning: bool = False


class Trouble(Exception):
    """A check failed: what was found, and what the reader can do."""

    def __init__(self, result: str, advice: str) -> None:
        super().__init__(result)
        self.result = result
        self.advice = advice


def _next_step(error: SourceError) -> str:
    return error.next_step


@dataclass
class Examination:
    """Gathers rows. `on_row` is told of each as it comes, `begun` of each check before it runs."""

    redact: Callable[[str], str] = str
    on_row: Callable[[Row], None] = lambda _row: None
    begun: Callable[[str, str], None] = lambda _source, _check: None
    seconds: float = CHECK_SECONDS
    read_seconds: float = READ_SECONDS
    rows: list[Row] = field(default_factory=list)

    def check(
        self,
        source: str,
        name: str,
        work: Callable[[], Finding | str],
        *,
        needs: Sequence[str] = (),
        settings: str = "",
        advise: Advise = _next_step,
        reads: bool = False,
    ) -> bool:
        """Run one check, unless one that it `needs` did not pass; True when it passed, with a warning too.

        `settings` names the variables to look at when no answer comes in time; `advise` turns a source's error into
        what to do; `reads` gives it the time of a read.
        """
        lacking = [need for need in needs if not self.passed(source, need)]
        if lacking:
            self._note(Row(source, name, "not tried", f"it needs {' and '.join(lacking)}"))
            return False
        self.begun(source, name)
        seconds = self.read_seconds if reads else self.seconds
        try:
            found = guarded(work, Deadline.after(seconds), f"doctor-{source}-{name}")
        except Trouble as trouble:
            self._note(Row(source, name, "failed", trouble.result, trouble.advice))
        except SourceError as error:
            self._note(Row(source, name, "failed", f"asked {error.asked}; came {error.came}", advise(error)))
        except TimeoutError:
            look = f"check {settings} and " if settings else "check "
            self._note(
                Row(
                    source, name, "failed", f"no answer within {seconds:.0f} s", f"{look}what stands between: firewalls"
                )
            )
        except Exception as error:  # noqa: BLE001 - the other checks still say something
            told = f"{type(error).__name__}: {error}"
            look = f"check {settings}; " if settings else ""
            self._note(
                Row(source, name, "failed", told, f"{look}if they are right, report this as a fault of the doctor")
            )
        else:
            finding = Finding(found) if isinstance(found, str) else found
            outcome: Outcome = "warning" if finding.is_warning else "ok"
            self._note(Row(source, name, outcome, finding.result, finding.advice))
            return True
        return False

    def passed(self, source: str, name: str) -> bool:
        """Whether a check was run and passed."""
        return any(row.source == source and row.check == name and row.outcome in ("ok", "warning") for row in self.rows)

    def skip(self, source: str, names: Iterable[str], because: str) -> None:
        """Note checks that cannot be tried."""
        for name in names:
            self._note(Row(source, name, "not tried", because))

    @property
    def has_failed(self) -> bool:
        """Whether any check failed."""
        return any(row.outcome == "failed" for row in self.rows)

    def _note(self, row: Row) -> None:
        shown = Row(row.source, row.check, row.outcome, self._shown(row.result), self._shown(row.advice))
        self.rows.append(shown)
        self.on_row(shown)

    def _shown(self, text: str) -> str:
        text = " ".join(self.redact(text).split())
        return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
