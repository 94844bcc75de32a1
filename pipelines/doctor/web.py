"""What the HTTP sources share: whether anybody answers, what the server's clock says, whether a token is given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import httpx

from pipelines.doctor.examination import Advise, Examination, Finding, Trouble
from pipelines.settings import Clock
from pipelines.sources.errors import Asking, SourceError
from pipelines.sources.http import Http
from pipelines.sources.http_auth import ClientCredentials
from pipelines.sources.http_deadline import Deadline, DeadlineTransport
from pipelines.sources.http_retry import HttpPolicy

# Beyond five minutes Kerberos tickets and token times are refused; from a minute on someone should look.
SKEW_FAILED = timedelta(minutes=5)
SKEW_WARNED = timedelta(minutes=1)
_CONNECTIONS = 4


def policy_of(exam: Examination, *, reads: bool = False) -> HttpPolicy:
    """Patience for one check: within its deadline, with one repetition."""
    seconds = (exam.read_seconds if reads else exam.seconds) * 0.9
    return HttpPolicy(
        connect_seconds=min(10.0, seconds),
        read_seconds=seconds / 2.0,
        overall_seconds=seconds,
        attempts=2,
        longest_retry_after_seconds=seconds / 4.0,
    )


def own_way() -> httpx.BaseTransport:
    """A transport that the pipelines' circuits do not see: what the doctor meets opens none, and none stops the doctor."""
    return DeadlineTransport(_CONNECTIONS, httpx.create_ssl_context())


def plain(exam: Examination, source: str) -> Http:
    """A client without credentials."""
    return Http(source, policy=policy_of(exam), transport=own_way())


def examine_answer(
    exam: Examination, source: str, what: str, url: str, *, now: Clock, needs: Sequence[str], setting: str
) -> None:
    """Whether a web server answers at all, and how far its Date lies from `now`."""
    answer, clock = f"{what} answer", f"{what} clock"
    dates: list[tuple[datetime, datetime]] = []

    def ask() -> str:
        with plain(exam, source) as http:
            # Any status is an answer: nothing proves who asks yet.
            found = http.ask(
                Asking(source, what), url, decode=len, accept=range(100, 600), with_auth=False, asked=f"GET {url}"
            )
        at = now()
        if (date := _date(found.headers.get("date"))) is not None:
            dates.append((date, at))
        offered = ", ".join(each.split(" ")[0] for each in found.headers.get_list("www-authenticate"))
        return f"status {found.status} without credentials" + (f"; the server offers {offered}" if offered else "")

    def compare() -> Finding:
        if not dates:
            return Finding("the answer carries no Date header: the clocks were not compared")
        return skew(*dates[0])

    exam.check(
        source, answer, ask, needs=needs, settings=setting, advise=lambda _: f"correct {setting}, or mend the server"
    )
    exam.check(source, clock, compare, needs=[answer])


def skew(theirs: datetime, ours: datetime) -> Finding:
    """What the difference of two clocks means. Raises Trouble beyond five minutes."""
    # A Date header has whole seconds.
    apart = abs(theirs - ours)
    side = "ahead of" if theirs > ours else "behind"
    told = f"the server's clock is {_spoken(apart)} {side} this machine's"
    advice = "set the clocks of this machine and of the server by one time service (NTP)"
    if apart > SKEW_FAILED:
        raise Trouble(told, advice)
    if apart > SKEW_WARNED:
        return Finding(told, advice, is_warning=True)
    return Finding("the clocks agree within a minute")


def examine_token(
    exam: Examination,
    source: str,
    credentials: Callable[[Http], ClientCredentials],
    *,
    needs: Sequence[str],
    settings: str,
    advise: Advise | None = None,
) -> None:
    """Whether the issuer gives a token."""

    def ask() -> str:
        with plain(exam, source) as http:
            credentials(http).header(Deadline.after(exam.seconds))
        return "a token was given"

    def say(error: SourceError) -> str:
        return f"check {settings}: the client, its secret and the secret's expiry, the scope"

    exam.check(source, "token", ask, needs=needs, settings=settings, advise=advise or say)


def _date(header: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(header).astimezone(UTC) if header else None
    except ValueError:
        return None


def _spoken(apart: timedelta) -> str:
    seconds = apart.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h" if seconds < 172_800 else f"{seconds / 86_400:.0f} days"
