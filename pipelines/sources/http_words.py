"""The words of an error: what a server said, short and without secrets.

Servers answer errors as JSON of several shapes, as plain text and as HTML pages; a message holds one sentence of it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
from collections.abc import Callable, Iterable
from urllib.parse import quote, quote_plus

import msgspec

_SECRET_PARAMETERS = re.compile(
    r"(?i)\b(access_token|refresh_token|client_secret|client_assertion|password|passwd|pwd|token|tempauth|sig|signature"
    r"|assertion|authorization|api_?key)(\"?\s*[=:]\s*\"?)[^&\s\"',;]+"
)
_AUTHORIZATION = re.compile(r"(?i)\b(bearer|basic|negotiate)\s+[A-Za-z0-9+/=._~-]{6,}")
_TAGS = re.compile(r"(?s)<(script|style)\b.*?</\1>|<[^>]*>")
LONGEST_SAYING = 300
# Shorter ones have so short a middle in base64 that other texts would be blanked.
_SHORTEST_IN_BASE64 = 6


_lock = threading.Lock()
# In every form, the newest last; a token comes each hour, and those of long ago are worth nothing any more.
_known: dict[str, None] = {}
_MOST_KNOWN = 4_000


def redacted(text: str) -> str:
    """The text without any secret that any redactor of this process was told: for words of unknown origin."""
    with _lock:
        forms = sorted(_known, key=len, reverse=True)
    return _without(text, forms)


class Redactor:
    """Takes known secrets, and whatever looks like one, out of a text."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._forms: set[str] = set()
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Hide these texts from now on: as they are, percent-encoded, escaped for JSON, Python or HTML, in base64."""
        with self._lock:
            for secret in secrets:
                # Shorter texts would blank half of every message.
                if len(secret) >= 4:
                    forms = _forms(secret)
                    self._forms |= forms
                    _remember(forms)

    def __call__(self, text: str) -> str:
        """The text with `***` where a secret stood."""
        with self._lock:
            forms = sorted(self._forms, key=len, reverse=True)
        return _without(text, forms)


def _without(text: str, forms: Iterable[str]) -> str:
    for form in forms:
        text = text.replace(form, "***")
    text = _AUTHORIZATION.sub(r"\1 ***", text)
    return _SECRET_PARAMETERS.sub(r"\1\2***", text)


def _remember(forms: Iterable[str]) -> None:
    with _lock:
        for form in forms:
            _known.pop(form, None)
            _known[form] = None
        for form in list(_known)[: max(0, len(_known) - _MOST_KNOWN)]:
            del _known[form]


def _forms(secret: str) -> set[str]:
    """The texts in which a server, a library or a log may write the secret."""
    forms = {secret, quote(secret, safe=""), quote_plus(secret), quote(secret), html.escape(secret)}
    forms |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
    raw = secret.encode()
    # Inside a longer text (`user:password`) its base64 has one of three alignments; what stays the same is its middle.
    for lead in range(3) if len(raw) >= _SHORTEST_IN_BASE64 else ():
        coded = base64.b64encode(b"\0" * lead + raw).decode()
        middle = coded[(0, 2, 3)[lead] : len(coded) - (0, 3, 2)[(lead + len(raw)) % 3]]
        forms |= {middle, middle.replace("+", "-").replace("/", "_")}
    return forms


def said(body: bytes, redact: Callable[[str], str] = str) -> str:
    """What an error body says, in one line of at most 300 characters; `nothing` for an empty one.

    `redact` sees the text before it is cut: half a secret would pass it.

    Knows PI Web API's `Errors` and `Message`, Graph's `error.code/message`, OAuth's `error/error_description`, a
    problem's `title/detail`; any other body is shown as its first words, without HTML tags.
    """
    if not body.strip():
        return "nothing"
    try:
        words = _of_json(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        words = ""
    # A secret may look like a tag: it is taken out before they are, and again as it then stands.
    text = words or _TAGS.sub(" ", redact(body[:20_000].decode("utf-8", "replace")))
    text = " ".join(redact(text).split())
    return text if len(text) <= LONGEST_SAYING else text[: LONGEST_SAYING - 1] + "…"


def _of_json(answer: object) -> str:
    if isinstance(answer, str):
        return answer
    if not isinstance(answer, dict):
        return ""
    exception = answer.get("WebException")
    if isinstance(exception, dict):
        return f"WebException {exception.get('StatusCode', '')}: {_listed(exception.get('Errors'))}"
    if "Errors" in answer:
        return _listed(answer["Errors"])
    error = answer.get("error")
    if isinstance(error, dict):
        inner = error.get("innerError")
        request = inner.get("request-id") if isinstance(inner, dict) else None
        told = f"{error.get('code', '')}: {error.get('message', '')}"
        return f"{told} (request-id {request})" if request else told
    if isinstance(error, str):
        return f"{error}: {answer.get('error_description', '')}"
    parts = [answer.get(name) for name in ("Message", "ExceptionMessage", "title", "detail", "message")]
    return ": ".join(part for part in parts if isinstance(part, str))


def _listed(errors: object) -> str:
    if isinstance(errors, list):
        return "; ".join(_listed(each) for each in errors)
    if isinstance(errors, dict):
        return f"{errors.get('FieldName', '')}: {_listed(errors.get('Message'))}"
    return str(errors)
