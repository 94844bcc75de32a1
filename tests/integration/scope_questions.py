"""What may be asked of the API: every operation of its OpenAPI document with every identifier that a release holds."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any
from urllib.parse import quote, unquote, urlencode

import polars as pl

from api.callers import Scope

Sql = Callable[[str], pl.DataFrame]
UNKNOWN = "zz-unknown-{}"
FACILITY_PARAMETERS = ("facilityId", "facilityIds", "causeFacilityIds")
# Parameters that name something of an asset.
NAMING = frozenset({"assetId", "path", *FACILITY_PARAMETERS})


@dataclass(frozen=True)
class Ground:
    """What a release holds, read past the API."""

    release_id: str
    latest: date
    assets: tuple[str, ...]
    hubs: Mapping[str, str]
    facilities: Mapping[str, str]
    terminals: frozenset[str]
    versions: tuple[str, ...]
    datasets: tuple[str, ...]
    edges: tuple[str, ...]

    @classmethod
    def read(cls, sql: Sql) -> "Ground":
        """From the release's own tables."""
        info = sql("SELECT release_id, latest_production_date FROM release_info").row(0)
        facilities = sql("SELECT facility_id, asset_id, facility_type FROM facility ORDER BY 1")
        return cls(
            release_id=info[0],
            latest=info[1],
            assets=tuple(sql("SELECT asset_id FROM asset ORDER BY 1")["asset_id"]),
            hubs=dict(sql("SELECT hub_id, asset_id FROM hub ORDER BY 1").rows()),
            facilities={row[0]: row[1] for row in facilities.rows()},
            terminals=frozenset(row[0] for row in facilities.rows() if row[2] == "terminal"),
            versions=tuple(sql("SELECT DISTINCT version FROM target ORDER BY 1")["version"]),
            datasets=tuple(sql("SELECT DISTINCT table_name FROM dictionary ORDER BY 1")["table_name"]),
            edges=tuple(sql("SELECT edge_id FROM edge ORDER BY 1")["edge_id"]),
        )

    def hidden(self, scope: Scope) -> frozenset[str]:
        """Identifiers outside the scope that a caller may name."""
        owned = {**{a: a for a in self.assets}, **self.hubs, **self.facilities}
        return frozenset(name for name, asset in owned.items() if not scope.holds(asset))


@dataclass(frozen=True)
class Asked:
    """One request; `names` are the identifiers that it gives itself."""

    method: str
    path: str
    query: str
    operation: str
    names: frozenset[str] = frozenset()

    def of_nothing(self, hidden: frozenset[str]) -> "Asked":
        """The same request about identifiers that no release holds."""
        path, query = self.path, self.query
        for number, name in enumerate(sorted(self.names & hidden)):
            path = path.replace(name, UNKNOWN.format(number))
            query = query.replace(quote(name, safe=""), UNKNOWN.format(number))
        return Asked(self.method, path, query, self.operation)

    def __str__(self) -> str:
        return f"{self.method} {self.path}{'?' if self.query else ''}{self.query}"


def requests_of(document: Mapping[str, Any], ground: Ground, *, is_full: bool) -> Iterator[Asked]:
    """Every operation with every identifier in its path and every identifier as a filter, with every format.

    In full each value of each parameter alone, and beside each identifier where the path names nothing; otherwise
    other parameters take turns from request to request.
    Raises KeyError for a parameter that nobody has said the values of: a new endpoint is asked about, or the audit fails.
    """
    for template, operations in document["paths"].items():
        for method, operation in operations.items():
            given = operation.get("parameters", [])
            paths = [p for p in given if p["in"] == "path"]
            places = [[(p["name"], value) for value in path_values(p, ground)] for p in paths]
            choices = [query_values(p, ground, is_full=is_full) for p in given if p["in"] == "query"]
            formats = [values for values in choices if values and values[0][0] == "format"]
            turns = itertools.cycle([pair for values in formats or choices for pair in values] or [None])
            for place in itertools.product(*places):
                path = template
                for name, value in place:
                    path = path.replace("{" + name + "}", value)
                taken = next(turns)
                for pairs in (
                    _all_queries(choices, bool(place)) if is_full else _few_queries(choices, taken, bool(place))
                ):
                    query = urlencode(pairs, quote_via=quote)
                    named = _names(f"{path}?{unquote(query)}", ground)
                    yield Asked(method.upper(), path, query, operation["operationId"], named)


def _names(text: str, ground: Ground) -> frozenset[str]:
    known = (*ground.assets, *ground.hubs, *ground.facilities)
    return frozenset(name for name in known if whole(name).search(text))


@cache
def whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(word)}(?![\w-])")


Pair = tuple[str, str]


def _few_queries(choices: Sequence[Sequence[Pair]], taken: Pair | None, has_place: bool) -> Iterator[tuple[Pair, ...]]:
    if has_place:
        yield () if taken is None else (taken,)
        return
    yield ()
    for values in choices:
        if values and values[0][0] in NAMING:
            yield from ((value,) for value in values)
    if taken is not None:
        yield (taken,)


def _all_queries(choices: Sequence[Sequence[Pair]], has_place: bool) -> Iterator[tuple[Pair, ...]]:
    yield ()
    for values in choices:
        yield from ((value,) for value in values)
    if has_place:
        return
    for one, other in itertools.combinations([values for values in choices if values], 2):
        if not {one[0][0], other[0][0]} & NAMING:
            continue  # who is asked about is what a scope decides
        # Every value of both stands beside the other parameter once.
        yield from zip(*_as_long(one, other), strict=True)


def _as_long(one: Sequence[Pair], other: Sequence[Pair]) -> list[Sequence[Pair]]:
    length = max(len(one), len(other))
    return [list(itertools.islice(itertools.cycle(values), length)) for values in (one, other)]


def path_values(parameter: Mapping[str, Any], ground: Ground) -> Sequence[str]:
    """Values of a path parameter: every identifier of its kind, whoever may see it."""
    return {
        "terminalId": sorted(ground.terminals) or list(ground.facilities)[:1],
        "hubId": list(ground.hubs),
        "facilityId": list(ground.facilities),
        "assetId": list(ground.assets),
        "dataset": list(ground.datasets),
        "releaseId": [ground.release_id],
    }[parameter["name"]]


def query_values(parameter: Mapping[str, Any], ground: Ground, *, is_full: bool) -> list[tuple[str, str]]:
    """Values of a query parameter."""
    name = parameter["name"]
    earlier = ground.latest - timedelta(days=2)
    values: Sequence[str]
    if parameter["schema"].get("enum"):
        values = parameter["schema"]["enum"]
    else:
        values = {
            "assetId": lambda: ground.assets,
            **dict.fromkeys(FACILITY_PARAMETERS, lambda: [*ground.facilities]),
            "targetVersion": lambda: ground.versions,
            "productionDate": lambda: [ground.latest.isoformat(), earlier.isoformat()],
            "from": lambda: [earlier.isoformat()],
            "to": lambda: [earlier.isoformat()],
            "since": lambda: ["2000-01-01T00:00:00Z"],
            "release": lambda: [ground.release_id],
            "asKnownAt": lambda: ["2100-01-01T00:00:00Z"],
            "limit": lambda: ["1", "100"],
            "cursor": list,  # its pages are those of the list without it
            "horizon": lambda: ["7d"],
            "path": lambda: list(numbers_to_explain(ground))[:: 1 if is_full else 3],
        }[name]()
    return [(name, value) for value in values]


def numbers_to_explain(ground: Ground) -> Iterator[str]:
    """Addresses of numbers at every node."""
    for field_name in ("currentProduction", "maxCapacity", "publishedTarget", "coverage"):
        yield f"/summary#/networks/oil/{field_name}"
    yield "/summary#/efficiency/oil/productionEfficiency"
    for asset in ground.assets:
        for network in ("oil", "exportGas"):
            yield f"/assets#/{asset}/networks/{network}/maxCapacity"
            yield f"/assets#/{asset}/networks/{network}/businessTarget"
    for hub, asset in ground.hubs.items():
        yield f"/assets#/{asset}/hubs/{hub}/networks/oil/deferment"
        yield f"/hubs/{hub}/performance#/statistics/oil/average"
    for facility in ground.facilities:
        yield f"/gap-drivers?facilityIds={facility}#/networks/exportGas/drivers/0/volume"
        yield f"/gap-drivers?facilityIds={facility}#/networks/oil/reference/defermentVolume"
    for terminal in sorted(ground.terminals):
        for field_name in ("productionRate", "grossStock", "readyCrude"):
            yield f"/terminal/{terminal}/operations#/{field_name}"
    for edge in ground.edges:
        yield f"/production-flow#/edges/{edge}/capacity"
