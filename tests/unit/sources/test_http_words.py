"""What a message keeps of a server's words: never a secret, in whatever way it was written."""

from __future__ import annotations

import base64
import html
import json
from urllib.parse import quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.errors import Asking, SourceBroken
from pipelines.sources.http_words import Redactor, redacted, said

SECRET = "p&ss <w\"ö>rd/+%'\\"


@pytest.mark.parametrize(
    "form",
    [SECRET, quote_plus(SECRET), html.escape(SECRET), json.dumps(SECRET)[1:-1], repr(SECRET)[1:-1]],
    ids=["plain", "percent", "html", "json", "python"],
)
def test_redactor_when_the_secret_is_written_in_another_way_then_it_is_hidden(form: str) -> None:
    assert Redactor([SECRET])(f"said {form} here") == "said *** here"


@given(
    st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=6, max_size=40),
    st.text(max_size=9),
    st.text(max_size=9),
)
def test_redactor_when_the_secret_stands_inside_base64_then_no_one_can_read_it(
    secret: str, before: str, after: str
) -> None:
    coded = base64.b64encode(f"{before}{secret}{after}".encode(errors="replace")).decode()
    shown = Redactor([secret])(f"header={coded}!")
    assert "***" in shown
    assert coded not in shown


def test_said_when_the_secret_stands_where_the_message_is_cut_then_not_even_half_of_it_is_kept() -> None:
    for lead in range(270, 300):
        text = said(b"x" * lead + b" " + SECRET.encode(), Redactor([SECRET]))
        assert SECRET[:3] not in text


def test_error_when_a_source_echoes_the_secret_of_another_then_it_is_hidden_as_well() -> None:
    Redactor(["secret-of-the-other-source"])
    error = SourceBroken(
        Asking("EC", "stream_day"), asked="GET /x?k=secret-of-the-other-source", came="secret-of-the-other-source"
    )
    assert "secret-of-the-other-source" not in f"{error} {error.asked} {error.came}"
    assert redacted("no secret-of-the-other-source here") == "no *** here"
