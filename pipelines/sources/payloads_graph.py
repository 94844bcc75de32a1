"""What Microsoft Graph answers for lists and drives, as far as it is read here.

Structs are tolerant: unknown keys are ignored. Empty fields of an item are absent keys, which `fields` keeps as absent.
"""

from __future__ import annotations

from typing import Any

import msgspec


class DateTimeKind(msgspec.Struct):
    """A date column; `format` is `dateOnly` or `dateTime`."""

    format: str = "dateTime"


class CalculatedKind(msgspec.Struct):
    """A calculated column; `outputType` is boolean, currency, dateTime, number or text."""

    outputType: str = "text"  # noqa: N815 - the vendor's name
    format: str = "dateTime"


class ListColumn(msgspec.Struct, rename="camel"):
    """A column of a list: its display name is what people see, `name` what items carry."""

    name: str
    display_name: str = ""
    read_only: bool = False
    number: dict[str, Any] | None = None
    currency: dict[str, Any] | None = None
    boolean: dict[str, Any] | None = None
    date_time: DateTimeKind | None = None
    calculated: CalculatedKind | None = None


class ListColumns(msgspec.Struct):
    """`lists/{list}/columns`."""

    value: list[ListColumn]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)


class ListItem(msgspec.Struct):
    """An item; `deleted` stands in delta answers only, then without fields."""

    id: str
    fields: dict[str, Any] = {}
    deleted: dict[str, Any] | None = None


class ListItems(msgspec.Struct):
    """A page of items, or of changes to them."""

    value: list[ListItem]
    next_link: str | None = msgspec.field(name="@odata.nextLink", default=None)
    delta_link: str | None = msgspec.field(name="@odata.deltaLink", default=None)


class DriveItem(msgspec.Struct):
    """A file. `c_tag` changes with the content only, `e_tag` with anything about the file."""

    id: str
    name: str = ""
    size: int = 0
    c_tag: str = msgspec.field(name="cTag", default="")
    e_tag: str = msgspec.field(name="eTag", default="")

    @property
    def version(self) -> str:
        """The mark of the content; empty where the drive gives none."""
        return self.c_tag or self.e_tag


class Site(msgspec.Struct):
    """A site, asked by its path."""

    id: str
