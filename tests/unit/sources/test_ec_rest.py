"""Energy Components over REST: whole reads under every paging, from configuration alone."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import httpx
import polars as pl
import pytest

from pipelines.sources.config import EcRestConfig, Secret
from pipelines.sources.ec_rest import EcRest
from pipelines.sources.energy_components import EnergyComponents
from pipelines.sources.errors import SourceBroken, SourceNotReady
from pipelines.sources.http_retry import HttpPolicy
from pipelines.sources.mapping import parse_energy_components

FIRST, LAST = date(2026, 11, 1), date(2026, 11, 3)


def datasets(paging: str = "offset", page_size: int = 3, **rest: Any) -> Any:
    return parse_energy_components(
        {
            "datasets": {
                "stream_day": {
                    "key": ["stream_ec_code", "production_date"],
                    "rest": {
                        "path": "views/RV_STRM",
                        "params": {"from_day": "{from_day}", "to_day": "{to_day}"},
                        "paging": paging,
                        "page_size": page_size,
                        **rest,
                    },
                    "columns": {
                        "stream_ec_code": {"source": "CODE", "type": "text"},
                        "production_date": {"source": "DAYTIME", "type": "date"},
                        "volume": {"source": "NET_VOL", "type": "float", "unit": "Sm3"},
                        "rev_no": {"source": "REV_NO", "type": "int"},
                        "record_status": {"source": "RECORD_STATUS", "type": "text", "optional": True},
                    },
                }
            }
        }
    )


def row(code: int, volume: Any = 1.0, day: str = "2026-11-01", rev: int = 1) -> dict[str, Any]:
    return {"CODE": f"S{code:02d}", "DAYTIME": day, "NET_VOL": volume, "REV_NO": rev}


class Gateway:
    """Serves `rows` in the given paging; `cap` is its own largest page, `total` whether it counts."""

    def __init__(self, rows: list[dict[str, Any]], paging: str = "offset", cap: int = 100, total: bool = True) -> None:
        self.rows = rows
        self.paging = paging
        self.cap = cap
        self.total = total
        self.requests: list[httpx.Request] = []
        self.faults: dict[int, httpx.Response] = {}

    def client(self, paging: str | None = None, **rest: Any) -> EcRest:
        config = EcRestConfig(
            base_url="http://ec.test/api/",
            token_url="http://kc.test/token",
            client_id="app",
            client_secret=Secret("ec-secret-text"),
            scope="ec",
        )
        mapping = datasets(paging or self.paging, **rest)
        return EcRest(config, mapping, transport=httpx.MockTransport(self), policy=HttpPolicy(), sleep=lambda _: None)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            return httpx.Response(200, json={"access_token": "ec-token", "expires_in": 300})
        assert request.headers["Authorization"] == "Bearer ec-token"
        self.requests.append(request)
        fault = self.faults.pop(len(self.requests), None)
        return fault or self.page(dict(request.url.params.multi_items()))

    def page(self, query: dict[str, str]) -> httpx.Response:
        size = min(self.cap, int(query.get("limit", query.get("page_size", "100000"))))
        start = int(query.get("offset", query.get("cursor", "0")))
        if self.paging == "page":
            start = (int(query["page"]) - 1) * size
        if self.paging == "none":
            start, size = 0, len(self.rows)
        content: dict[str, Any] = {"items": self.rows[start : start + size]}
        if self.total:
            content["total"] = len(self.rows)
        if self.paging == "next_link" and start + size < len(self.rows):
            content["next"] = f"/api/views/RV_STRM?cursor={start + size}&limit={size}"
        return httpx.Response(200, json=content)


@pytest.mark.parametrize("total", [True, False])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 9])
@pytest.mark.parametrize("paging", ["offset", "page", "next_link", "none"])
def test_read_when_rows_fill_pages_then_all_come_once(paging: str, count: int, total: bool) -> None:
    gateway = Gateway([row(code) for code in range(count)], paging, total=total)
    with gateway.client() as client:
        reader: EnergyComponents = client
        extract = reader.read("stream_day", FIRST, LAST)
    assert extract.frame["stream_ec_code"].to_list() == [f"S{code:02d}" for code in range(count)]
    assert extract.frame.schema["production_date"] == pl.Date
    assert extract.pages == len(gateway.requests)
    assert (extract.bytes > 0, extract.warnings, extract.rejected.height) == (True, (), 0)


def test_read_when_gateway_caps_its_pages_then_a_short_page_is_not_the_end() -> None:
    gateway = Gateway([row(code) for code in range(10)], cap=2, total=False)
    with gateway.client(page_size=5) as client:
        assert client.read("stream_day", FIRST, LAST).frame.height == 10


def test_read_when_days_are_asked_then_params_hold_them_with_the_end_exclusive() -> None:
    gateway = Gateway([])
    with gateway.client() as client:
        extract = client.read("stream_day", FIRST, LAST)
    params = gateway.requests[0].url.params
    assert (params["from_day"], params["to_day"]) == ("2026-11-01", "2026-11-04")
    assert "from_day=2026-11-01" in extract.request
    assert extract.frame.columns == ["stream_ec_code", "production_date", "volume", "rev_no", "record_status"]


def test_read_when_rows_of_other_days_or_revisions_come_then_the_asked_days_and_newest_stand() -> None:
    rows = [row(1, 5.0, rev=2), row(1, 4.0, rev=1), row(2, 1.0, "2026-12-24")]
    with Gateway(rows).client() as client:
        extract = client.read("stream_day", FIRST, LAST)
    assert extract.frame.select("stream_ec_code", "volume").rows() == [("S01", 5.0)]
    assert len(extract.warnings) == 2


def test_read_when_a_value_does_not_parse_then_its_row_is_rejected_and_empty_is_null() -> None:
    with Gateway([row(1, "12.5"), row(2, "broken"), row(3, "")]).client() as client:
        extract = client.read("stream_day", FIRST, LAST)
    assert extract.frame["volume"].to_list() == [12.5, None]
    assert extract.rejected["rule"].to_list() == ["volume_is_float"]
    assert "S02" in extract.rejected["raw"][0]


def test_read_when_a_mapped_column_is_in_no_row_then_schema_has_drifted() -> None:
    rows = [{"CODE": "S1", "DAYTIME": "2026-11-01", "NET_VOL_NEW": 1.0, "REV_NO": 1}]
    with Gateway(rows).client() as client, pytest.raises(SourceBroken, match=r"NET_VOL.*NET_VOL_NEW"):
        client.read("stream_day", FIRST, LAST)


@pytest.mark.parametrize("items", [[row(0), row(1), row(2)], [row(6), row(7), row(8)]])
def test_read_when_one_page_comes_twice_or_is_skipped_then_is_read_again_whole(items: list[dict[str, Any]]) -> None:
    gateway = Gateway([row(code) for code in range(9)])
    gateway.faults = {2: httpx.Response(200, json={"items": items, "total": 9})}
    with gateway.client() as client:
        assert client.read("stream_day", FIRST, LAST).frame.height == 9
    assert len(gateway.requests) > 3


def test_read_when_count_never_agrees_then_is_not_ready() -> None:
    gateway = Gateway([row(1)])
    content = {"items": [], "total": 9}
    gateway.faults = {position: httpx.Response(200, json=content) for position in range(1, 9)}
    with gateway.client() as client, pytest.raises(SourceNotReady, match="0 rows in 1 pages where the answer counts 9"):
        client.read("stream_day", FIRST, LAST)


def test_read_when_gateway_ignores_the_offset_then_does_not_turn_for_ever() -> None:
    gateway = Gateway([row(1), row(2)], "none", total=False)
    with gateway.client("offset") as client, pytest.raises(SourceNotReady, match="page before it"):
        client.read("stream_day", FIRST, LAST)


@pytest.mark.parametrize("link", ["http://evil.test/api/x", "http://ec.test/api/views/RV_STRM?cursor=0"])
def test_read_when_next_link_leads_away_or_in_a_circle_then_is_broken(link: str) -> None:
    gateway = Gateway([], "next_link")
    body = {"items": [row(1)], "next": link}
    other = {"items": [row(2)], "next": link}
    gateway.faults = {1: httpx.Response(200, json=body), 2: httpx.Response(200, json=other)}
    with gateway.client() as client, pytest.raises(SourceBroken, match="link"):
        client.read("stream_day", FIRST, LAST)


def test_read_when_answer_lacks_its_rows_then_asks_again() -> None:
    gateway = Gateway([row(1)])
    gateway.faults = {1: httpx.Response(200, json={"status": "starting"})}
    with gateway.client() as client:
        assert client.read("stream_day", FIRST, LAST).frame.height == 1


def test_read_when_dataset_is_not_mapped_or_days_are_inverted_then_says_so() -> None:
    with Gateway([]).client() as client:
        with pytest.raises(SourceBroken, match="a mapping of stream_day"):
            client.read("tank_day", FIRST, LAST)
        with pytest.raises(ValueError, match="before the first"):
            client.read("stream_day", LAST, FIRST)


def test_preflight_when_paths_and_columns_are_right_then_is_empty_else_names_the_dataset() -> None:
    gateway = Gateway([row(1)])
    with gateway.client() as client:
        assert client.preflight() == []
        gateway.faults = {len(gateway.requests) + 1: httpx.Response(404, json={"message": "no view RV_STRM"})}
        faults = client.preflight()
    assert len(faults) == 1
    assert "stream_day" in faults[0]
    assert "no view RV_STRM" in faults[0]
    assert json.dumps(faults).find("ec-secret-text") == -1
