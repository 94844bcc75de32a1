"""Finding a number in a body by its JSON pointer: its value, its contract's words, and the objects on the way.

A step into an array is an index, or the `id`, `facilityId` or `productionDate` of an element, which stays right when another
release orders the array otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

NAMES = ("id", "facilityId", "productionDate")
_LISTED = 12


class PointerFault(ValueError):
    """The pointer does not lead to a number; says what it may be instead."""


@dataclass(frozen=True)
class Leaf:
    """A number of a body. `tokens` is the pointer with indexes; `objects` what stands at each depth, null for an array."""

    tokens: tuple[str, ...]
    value: float | None
    meaning: str
    unit: str | None
    formula: str | None
    objects: tuple[Mapping[str, Any] | None, ...]

    @property
    def field(self) -> str:
        """The last property."""
        return self.tokens[-1]

    def after(self, name: str) -> str:
        """The token that follows a property."""
        return self.tokens[self.tokens.index(name) + 1]

    def at(self, depth: int) -> Mapping[str, Any]:
        """The object that so many tokens lead to."""
        found = self.objects[depth]
        if found is None:
            raise LookupError(f"{self.tokens[:depth]} leads to an array")
        return found

    def element(self, name: str) -> Mapping[str, Any]:
        """The array element under the property `name`, which the pointer must pass."""
        return self.at(self.tokens.index(name) + 2)


def parse(pointer: str) -> tuple[str, ...]:
    """Tokens of a JSON pointer (RFC 6901). Raises PointerFault."""
    if not pointer.startswith("/"):
        raise PointerFault("needs a JSON pointer after #, such as #/networks/oil/currentProduction")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/"))


def escape(token: str) -> str:
    """A token as it stands in a pointer."""
    return token.replace("~", "~0").replace("/", "~1")


def find(answer: Any, body: Any, tokens: Sequence[str]) -> Leaf:
    """The number at the pointer. `answer` is the body's type, `body` its built-in form. Raises PointerFault."""
    kind, meta = _plain(answer)
    node, found = body, list[str]()
    objects: list[Mapping[str, Any] | None] = [node if isinstance(node, dict) else None]
    for token in tokens:
        if node is None:
            raise PointerFault(f"{_place(found)} is null on this day: nothing stands at {token!r}")
        if get_origin(kind) is list:
            index = _index(node, token, found)
            kind, meta = _plain(get_args(kind)[0])
            node = node[index]
            found.append(str(index))
        elif isinstance(kind, type) and issubclass(kind, Struct):
            fields = _fields(kind)
            if token not in fields:
                raise PointerFault(f"{_place(found)} has no {token[:60]!r}; it has {', '.join(fields)}")
            kind, meta = fields[token]
            node = node[token]
            found.append(token)
        else:
            raise PointerFault(f"{_place(found)} has nothing below it")
        objects.append(node if isinstance(node, dict) else None)
    if kind not in (int, float) or isinstance(node, bool):
        raise PointerFault(f"{_place(found)} is no number; {_numbers(kind, node)}")
    extra = (meta.extra_json_schema or {}) if meta else {}
    meaning = (meta.description or "").split(" Formula: ")[0] if meta else ""
    value = None if node is None else float(node)
    return Leaf(tuple(found), value, meaning, extra.get("x-unit"), extra.get("x-formula"), tuple(objects))


@cache
def _fields(kind: type[Struct]) -> dict[str, tuple[Any, Meta | None]]:
    """Type without null and description of each property."""
    return {field.encode_name: _plain(field.type) for field in msgspec.structs.fields(kind)}


def _plain(annotation: Any) -> tuple[Any, Meta | None]:
    """The type without null, and its description."""
    meta = None
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation, *metas = get_args(annotation)
            meta = next((m for m in metas if isinstance(m, Meta)), meta)
        elif origin in (Union, UnionType):
            (annotation, *_) = [choice for choice in get_args(annotation) if choice is not NoneType]
        else:
            return annotation, meta


def _index(elements: Sequence[Any], token: str, found: Sequence[str]) -> int:
    for index, element in enumerate(elements):
        if isinstance(element, dict) and any(element.get(name) == token for name in NAMES):
            return index
    if token.isascii() and token.isdigit() and int(token) < len(elements):
        return int(token)
    names = [str(next((e[n] for n in NAMES if n in e), i)) for i, e in enumerate(elements) if isinstance(e, dict)]
    more = ", …" if len(names) > _LISTED else ""
    listed = f": 0 to {len(elements) - 1}, or {', '.join(names[:_LISTED])}{more}" if names else ""
    raise PointerFault(f"{_place(found)} has {len(elements)} elements{listed}; not {token[:60]!r}")


def _numbers(kind: Any, node: Any) -> str:
    if get_origin(kind) is list and node is not None:
        return f"it has {len(node)} elements, of which one must be chosen"
    if isinstance(kind, type) and issubclass(kind, Struct):
        fields = {name: field for name, (field, _) in _fields(kind).items()}
        numbers = [name for name, field in fields.items() if field in (int, float)]
        inner = [name for name, field in fields.items() if get_origin(field) is list or _is_struct(field)]
        choices = (("its numbers are", numbers), ("more stand below", inner))
        return "; ".join(f"{what} {', '.join(names)}" for what, names in choices if names) or "it holds none"
    return "only numbers are explained"


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def _place(found: Sequence[str]) -> str:
    return "#/" + "/".join(escape(token) for token in found) if found else "the body"
