"""The batch controller: sub-requests that may take values of earlier ones, and templates that fan out.

The outer status is 207 whatever happens inside; a child of a failed parent fails with 409.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from pipelines.simulators.pi_web_api_context import BASE, errors
from pipelines.simulators.server_http import Reply, Request

_STEP = re.compile(r"\.([A-Za-z_][\w-]*)|\[(\d+|\*)\]|\['([^']+)'\]")
_HOLE = re.compile(r"\{(\d+)\}")


class Template(msgspec.Struct, rename="pascal"):
    """A request made once for each match of its parameters."""

    resource: str


class SubRequest(msgspec.Struct, rename="pascal"):
    """One named sub-request of a batch."""

    method: str = "GET"
    resource: str | None = None
    request_template: Template | None = None
    parameters: list[str] = []
    parent_ids: list[str] = []
    headers: dict[str, str] = {}
    content: str | None = None


class BatchError(ValueError):
    """A sub-request cannot be made."""


def run_batch(request: Request, answer: Callable[[Request], Reply]) -> Reply:
    """Run a batch; ``answer`` serves each sub-request as if it had come alone."""
    try:
        batch = msgspec.json.decode(request.body, type=dict[str, SubRequest])
    except msgspec.MsgspecError as problem:
        return errors(400, f"The batch request is not valid: {problem}")
    results: dict[str, Any] = {}
    waiting = dict(batch)
    while waiting:
        ready = [name for name, sub in waiting.items() if all(parent in results for parent in _parents(sub, batch))]
        if not ready:
            return errors(400, "The batch request has unknown or circular ParentIds.")
        for name in ready:
            results[name] = _run(request, waiting.pop(name), results, answer)
    return Reply.json({name: results[name] for name in batch}, 207)


def _parents(sub: SubRequest, batch: dict[str, SubRequest]) -> list[str]:
    named = [match[1] for text in sub.parameters if (match := re.match(r"\$\.([\w-]+)", text))]
    return [*sub.parent_ids, *(name for name in named if name in batch)]


def _run(
    request: Request, sub: SubRequest, results: dict[str, Any], answer: Callable[[Request], Reply]
) -> dict[str, Any]:
    failed = [parent for parent in sub.parent_ids if results.get(parent, {}).get("Status", 500) >= 400]
    if failed:
        return _result(errors(409, f"The parent request '{failed[0]}' failed."))
    try:
        matches = [match_path(results, text) for text in sub.parameters]
        if sub.request_template is None:
            first = [found[0] if found else _missing(text) for found, text in zip(matches, sub.parameters, strict=True)]
            return _result(answer(_made(request, sub, _filled(sub.resource or "", first))))
        size = max((len(found) for found in matches), default=1)
        if any(len(found) not in (1, size) for found in matches):
            return _result(errors(400, "The parameters of a RequestTemplate have different numbers of matches."))
        items = []
        for number in range(size):
            values = [found[number if len(found) > 1 else 0] for found in matches]
            items.append(_result(answer(_made(request, sub, _filled(sub.request_template.resource, values)))))
        content = {"Total": len(items), "Items": items}
        return {"Status": 207, "Headers": {"Content-Type": "application/json; charset=utf-8"}, "Content": content}
    except BatchError as problem:
        return _result(errors(400, str(problem)))


def match_path(document: Any, path: str) -> list[Any]:
    """Every match of a JSONPath of names, indexes and ``[*]``; raises ``BatchError`` for any other form."""
    if not path.startswith("$"):
        message = f"The parameter '{path}' is not a JSONPath."
        raise BatchError(message)
    found, position = [document], 1
    while position < len(path):
        step = _STEP.match(path, position)
        if step is None:
            message = f"The JSONPath '{path}' is not supported by this server."
            raise BatchError(message)
        position = step.end()
        name, index = step[1] or step[3], step[2]
        following: list[Any] = []
        for node in found:
            if name is not None and isinstance(node, dict) and name in node:
                following.append(node[name])
            elif index == "*" and isinstance(node, list):
                following.extend(node)
            elif index is not None and index != "*" and isinstance(node, list) and int(index) < len(node):
                following.append(node[int(index)])
        found = following
    return found


def _missing(text: str) -> Any:
    message = f"The parameter '{text}' matched nothing."
    raise BatchError(message)


def _filled(resource: str, values: list[Any]) -> str:
    def fill(hole: re.Match[str]) -> str:
        number = int(hole[1])
        if number >= len(values):
            _missing(hole[0])
        return str(values[number])

    return _HOLE.sub(fill, resource)


def _made(request: Request, sub: SubRequest, resource: str) -> Request:
    """The sub-request; the host of its resource is ignored, its path must stand under the base."""
    parts = urlsplit(resource)
    path = unquote(parts.path)
    if not path.lower().startswith(BASE):
        message = f"The resource '{resource}' is not part of this PI Web API."
        raise BatchError(message)
    return Request(
        method=sub.method.upper(),
        path=path,
        target=parts.path + (f"?{parts.query}" if parts.query else ""),
        query=parse_qsl(parts.query, keep_blank_values=True),
        headers=dict(request.headers) | {name.lower(): value for name, value in sub.headers.items()},
        body=(sub.content or "").encode(),
        host=request.host,
    )


def _result(reply: Reply) -> dict[str, Any]:
    try:
        decoded: Any = msgspec.json.decode(reply.body) if reply.body else ""
    except msgspec.MsgspecError:
        decoded = reply.body.decode("utf-8", "replace")
    return {"Status": reply.status, "Headers": {"Content-Type": reply.content_type}, "Content": decoded}
