"""GET /api/v1/data-dictionary."""

from typing import Annotated

from api.contracts.common import Contract, Metadata, doc

FIELD_KINDS = ["api", "sql"]


class FieldUnit(Contract, frozen=True, kw_only=True):
    """A unit of a field, and how it is displayed."""

    networks: Annotated[
        list[str] | None,
        doc("Networks whose values have this unit; null where the unit does not depend on the network."),
    ]
    unit: Annotated[str, doc("Base unit.")]
    display_unit: Annotated[str, doc("Unit with units=display.")]
    display_scale: Annotated[float, doc("Factor from base to display unit.")]


class DictionaryField(Contract, frozen=True, kw_only=True):
    """A column of a view of the SQL contract, or a property of an API body."""

    kind: Annotated[str, doc("api: property of a body. sql: column of a view.", values=FIELD_KINDS)]
    container: Annotated[str, doc("View, or schema of the OpenAPI document.")]
    name: Annotated[str, doc("Column, or property.")]
    description: Annotated[str, doc("Meaning.")]
    type: Annotated[str, doc("SQL type, or JSON type; `| null` where it may be absent.")]
    unit: Annotated[
        str | None,
        doc("Base unit; of a field of several networks `<of liquids> | <of gas>`. Null for what has none."),
    ]
    display_unit: Annotated[str | None, doc("Unit with units=display, written likewise.")]
    display_scale: Annotated[
        float | None,
        doc("Factor from base to display unit; null without a unit, and where the network decides: see units."),
    ]
    units: Annotated[list[FieldUnit], doc("Each unit with its factor; empty for a field without unit.")]
    formula: Annotated[str | None, doc("How it is computed.")]
    source: Annotated[str | None, doc("Source system, or the tables or views that it is made from.")]
    owner: Annotated[str | None, doc("Who answers for it.")]


class DataDictionary(Metadata, frozen=True, kw_only=True):
    """Every field of the API and of the release's SQL views."""

    fields: Annotated[list[DictionaryField], doc("By kind, container and name.")]
