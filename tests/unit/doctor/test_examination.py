"""One check fails, the next goes on; dependent ones are not tried; nobody waits beyond the deadline; nothing secret."""

from __future__ import annotations

import threading

from pipelines.doctor.examination import Examination, Finding, Trouble
from pipelines.doctor.table import cells, summary, table
from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.http_words import Redactor


def _fails() -> str:
    raise Trouble("it is shut", "open it")


def test_checks_when_one_fails_then_others_go_on_and_what_needs_it_is_not_tried() -> None:
    exam = Examination()
    assert not exam.check("pi", "port", _fails)
    assert not exam.check("pi", "login", lambda: "never", needs=["port"])
    assert not exam.check("pi", "values", lambda: "never", needs=["login"])
    assert exam.check("sharepoint", "port", lambda: "open")
    assert exam.check(
        "sharepoint", "clock", lambda: Finding("a minute apart", "set it", is_warning=True), needs=["port"]
    )
    outcomes = [(row.source, row.check, row.outcome) for row in exam.rows]
    assert outcomes == [
        ("pi", "port", "failed"),
        ("pi", "login", "not tried"),
        ("pi", "values", "not tried"),
        ("sharepoint", "port", "ok"),
        ("sharepoint", "clock", "warning"),
    ]
    assert "login" in exam.rows[2].result
    assert exam.has_failed
    assert summary(exam.rows) == "5 checks: 1 ok, 1 warning, 1 failed, 2 not tried"


def test_check_when_it_hangs_then_it_fails_at_its_deadline_and_names_the_setting() -> None:
    exam = Examination(seconds=0.05)
    never = threading.Event()
    exam.check("pi", "port", lambda: str(never.wait(20)), settings="PI_BASE_URL")
    (row,) = exam.rows
    assert (row.outcome, "no answer within" in row.result, "PI_BASE_URL" in row.advice) == ("failed", True, True)
    never.set()


def test_check_when_a_source_answers_wrongly_then_its_words_and_the_advice_for_them() -> None:
    def broken() -> str:
        raise SourceBroken(Asking("PI Web API", "points"), asked="GET /points", came='403 "denied"', status=403)

    exam = Examination()
    exam.check("pi", "points", broken, advise=lambda error: f"grant it ({error.status})")
    assert exam.rows[0].result == 'asked GET /points; came 403 "denied"'
    assert exam.rows[0].advice == "grant it (403)"


def test_check_when_something_unforeseen_happens_then_a_row_and_no_trace() -> None:
    exam = Examination()
    exam.check("pi", "points", lambda: str(1 / 0), settings="PI_BASE_URL")
    assert exam.rows[0].outcome == "failed"
    assert "ZeroDivisionError" in exam.rows[0].result and "PI_BASE_URL" in exam.rows[0].advice


def test_rows_when_a_text_holds_a_secret_then_it_is_hidden() -> None:
    exam = Examination(redact=Redactor(["hush-hush"]))
    exam.check("pi", "login", lambda: "the server says: hush-hush is wrong")
    assert exam.rows[0].result == "the server says: *** is wrong"


def test_table_when_rows_are_long_then_lines_are_wrapped_and_nothing_is_lost() -> None:
    exam = Examination()
    exam.check("energy_components", "rows of stream_day", lambda: " ".join(["word"] * 60))
    exam.check("pi", "port", _fails)
    lines = table(exam.rows, 100).splitlines()
    assert [part.strip() for part in lines[0].split("|")] == ["source", "check", "result", "what to do"]
    assert max(map(len, lines)) <= 100
    assert sum(line.count("word") for line in lines) == 60
    assert cells(exam.rows[1]) == ("pi", "port", "FAILED: it is shut", "open it")
    assert "FAILED: it is shut" in lines[-1] and "open it" in lines[-1]
