"""GET /api/v1/production-flow."""

from typing import Annotated

from msgspec import field

from api.contracts.common import FACILITY_TYPES, Contract, Metadata, NetworkRateUnits, doc

NETWORK_VALUES = ["oil", "domesticGas", "exportGas", "flaredGas"]


class Unit(Contract, frozen=True, kw_only=True):
    """A production unit."""

    id: Annotated[str, doc("Unit.")]
    name: Annotated[str, doc("Name.")]
    kind: Annotated[str, doc("Kind.", values=["hub"])]
    asset_id: Annotated[str, doc("Asset.")]


class FlowFacility(Contract, frozen=True, kw_only=True):
    """A facility as a node of the graph."""

    id: Annotated[str, doc("Facility.")]
    name: Annotated[str, doc("Name.")]
    unit_id: Annotated[str | None, doc("Its unit; null when it stands directly under its asset.")]
    asset_id: Annotated[str, doc("Asset.")]
    type: Annotated[str, doc("Type.", values=FACILITY_TYPES)]
    networks: Annotated[list[str], doc("Networks that it serves: oil, domesticGas, exportGas, flaredGas.")]


class ExternalNode(Contract, frozen=True, kw_only=True):
    """A source, market, export point or junction that is no facility."""

    id: Annotated[str, doc("Node.")]
    name: Annotated[str, doc("Name.")]
    kind: Annotated[str, doc("Kind.", values=["source", "market", "export", "junction"])]
    network: Annotated[
        str | None, doc("Network that it stands in; null where it feeds several.", values=NETWORK_VALUES)
    ]


class Edge(Contract, frozen=True, kw_only=True):
    """A connection on one network."""

    id: Annotated[str, doc("<from>~<to>~<network>.")]
    from_: Annotated[str, doc("Upstream node.")] = field(name="from")
    to: Annotated[str, doc("Downstream node.")]
    network: Annotated[str, doc("Network.", values=NETWORK_VALUES)]
    stream: Annotated[str, doc("What flows, such as netOil or rawGas.")]
    capacity: Annotated[float | None, doc("Largest sustained rate; null where the edge does not limit.", unit="rate")]


class ProductionFlow(Metadata, frozen=True, kw_only=True):
    """The topology of one production day; structure only, no production."""

    uom: NetworkRateUnits
    units: list[Unit]
    facilities: list[FlowFacility]
    externals: list[ExternalNode]
    edges: list[Edge]
