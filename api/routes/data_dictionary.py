"""GET /api/v1/data-dictionary: every field with unit, display unit and scale, formula, source and owner.

Columns come from the release's own dictionary, properties from the OpenAPI document, so that neither can go out of step.
"""

from functools import lru_cache
from typing import Any

from litestar import Litestar, get

from api import parameters
from api.contracts.data_dictionary import FIELD_KINDS, DataDictionary, DictionaryField, FieldUnit
from api.dependencies import ApiRequest, respond
from api.openapi import document
from api.operations import Operation, documented
from api.parameters import AS_KNOWN_AT, RELEASE
from api.units import NETWORKS, TABLE, Quantity
from api.view import View

PATH = "/api/v1/data-dictionary"
KIND = parameters.choice("kind", "Only fields of the API, or only columns of SQL views.", FIELD_KINDS)
PARAMETERS = (KIND, RELEASE, AS_KNOWN_AT)
OWNER = "api"
LIQUIDS, GAS = ("oil",), tuple(network for network in NETWORKS if network != "oil")
SEPARATOR = " | "
# What `x-unit` of a property stands for: the quantity of liquids and of gas, or of both.
QUANTITIES: dict[str, tuple[Quantity, ...]] = {
    "rate": ("oilRate", "gasRate"),
    "volume": ("oilVolume", "gasVolume"),
    "terminalVolume": ("terminalVolume",),
    "terminalRate": ("oilRate",),
}
# The same of a column whose unit depends on the row's network.
BY_NETWORK: dict[str, tuple[Quantity, Quantity]] = {
    SEPARATOR.join(TABLE[quantity][0] for quantity in pair): pair
    for pair in (("oilRate", "gasRate"), ("oilVolume", "gasVolume"))
}
# Views behind the schemas of the bodies; a schema that is not named here is made by the API from those of the others.
VIEWS = {
    "Kpi": "production_daily",
    "TerminalKpis": "terminal_daily",
    "TerminalOperations": "terminal_daily",
    "NextCargo": "cargo",
    "Driver": "gap_driver_daily, event",
    "DriverFacility": "gap_driver_daily",
    "Reference": "production_daily",
    "Unattributed": "gap_driver_daily",
    "Event": "event, event_daily",
    "EventVolume": "gap_driver_daily",
    "EventFacility": "gap_driver_daily",
    "EnteredLoss": "event",
    "TrendKpi": "production_daily",
    "TrendStatistics": "hub_trend",
    "Change": "restatement",
    "Edge": "edge_version",
    "Neighbour": "edge_version",
    "MeterDay": "meter_daily",
    "NodeBalance": "balance_daily",
    "SystemClosure": "closure_daily",
    "SourceFreshness": "source_freshness",
    "Freshness": "source_freshness",
}


def assemble(view: View, application: Litestar) -> DataDictionary:
    """The fields asked for."""
    kind: str | None = view.arguments["kind"]
    fields: list[DictionaryField] = []
    if kind in (None, "api"):
        fields += _properties(application)
    if kind in (None, "sql"):
        fields += [_column(row) for row in view.query("dictionary_list")]
    return DataDictionary(**view.metadata(), fields=fields)


def _column(row: dict[str, Any]) -> DictionaryField:
    units = _units(BY_NETWORK[row["unit"]]) if row["unit"] in BY_NETWORK else []
    if not units and row["unit"] is not None:
        scale = 1.0 if row["display_scale"] is None else row["display_scale"]
        units = [_one(None, row["unit"], row["display_unit"] or row["unit"], scale)]
    return _field(
        "sql", row["table_name"], row["column_name"], row["description"], row["data_type"], units,
        row["formula"], row["source"], row["owner"],
    )  # fmt: skip


def _field(
    kind: str, container: str, name: str, description: str, type_name: str, units: list[FieldUnit],
    formula: str | None, source: str | None, owner: str | None,
) -> DictionaryField:  # fmt: skip
    return DictionaryField(
        kind=kind,
        container=container,
        name=name,
        description=description,
        type=type_name,
        unit=SEPARATOR.join(unit.unit for unit in units) or None,
        display_unit=SEPARATOR.join(unit.display_unit for unit in units) or None,
        display_scale=units[0].display_scale if len(units) == 1 else None,
        units=units,
        formula=formula,
        source=source,
        owner=owner,
    )


def _one(networks: tuple[str, ...] | None, unit: str, display_unit: str, scale: float) -> FieldUnit:
    return FieldUnit(
        networks=None if networks is None else list(networks), unit=unit, display_unit=display_unit, display_scale=scale
    )


def _units(quantities: tuple[Quantity, ...]) -> list[FieldUnit]:
    networks = (LIQUIDS, GAS) if len(quantities) > 1 else (None,)
    found = []
    for served, quantity in zip(networks, quantities, strict=True):
        unit, display_unit, divisor = TABLE[quantity]
        found.append(_one(served, unit, display_unit, 1 / divisor))
    return found


@lru_cache(maxsize=2)
def _properties(application: Litestar) -> list[DictionaryField]:
    fields = []
    for schema, described in sorted(document(application)["components"]["schemas"].items()):
        for name, prop in sorted(described.get("properties", {}).items()):
            unit = prop.get("x-unit")
            units = _units(QUANTITIES[unit]) if unit in QUANTITIES else [_one(None, unit, unit, 1.0)] if unit else []
            description = prop.get("description") or described.get("description", "")
            fields.append(
                _field(
                    "api",
                    schema,
                    name,
                    description,
                    _type(prop),
                    units,
                    prop.get("x-formula"),
                    VIEWS.get(schema),
                    OWNER,
                )
            )
    return fields


def _type(schema: dict[str, Any]) -> str:
    """JSON type in words: `number | null`, `Kpi`, `array of Event`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return SEPARATOR.join(dict.fromkeys(_type(choice) for choice in schema["anyOf"]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    found = schema.get("type", "any")
    return SEPARATOR.join(found) if isinstance(found, list) else str(found)


@get(
    PATH,
    opt=documented(
        Operation(
            operation_id="getDataDictionary",
            summary="Every field: unit, display unit and scale, formula, source, owner",
            description="Columns of the release's SQL views and properties of the API's bodies. Where the network decides, "
            "units lists each unit with its factor: oil in kbbl (0.001), gas in MMscf (0.000001).",
            tag="lineage",
            answer=DataDictionary,
            parameters=PARAMETERS,
        )
    ),
)
async def get_data_dictionary(request: ApiRequest) -> DataDictionary:
    """Answers with the fields."""
    return await respond(request, PARAMETERS, lambda view: assemble(view, request.app))
