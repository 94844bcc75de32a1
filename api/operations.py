"""What the OpenAPI document says of a route, kept beside the route itself in its `opt`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.parameters import Parameter

KEY = "operation"


@dataclass(frozen=True)
class Operation:
    """One documented operation. `answer` is the struct of the 200, a list of it, or None for what is no JSON; `media_types` are
    those of the 200; `path_parameters` describes them; `body` is the struct that is sent."""

    operation_id: str
    summary: str
    description: str
    tag: str
    answer: Any
    parameters: Sequence[Parameter] = ()
    path_parameters: tuple[tuple[str, str], ...] = ()
    problems: tuple[int, ...] = (400, 404, 405, 406, 410, 413, 414, 500, 503)
    method: str = "get"
    body: Any = None
    # An answer of the moment has no entity tag and is never confirmed by 304.
    is_of_release: bool = True
    media_types: tuple[str, ...] = ("application/json",)


def documented(operation: Operation) -> dict[str, Any]:
    """`opt` of a route handler."""
    return {KEY: operation}
