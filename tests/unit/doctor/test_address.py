"""Names, ports and certificates: what is wrong, and the setting to look at."""

from __future__ import annotations

import socket
from datetime import timedelta

import pytest

from pipelines.doctor.address import Address, examine_address, examine_issuer
from pipelines.doctor.examination import Examination, Row
from tests.unit.doctor.conftest import TlsServer


def rows_of(url: str, seconds: float = 5.0) -> dict[str, Row]:
    exam = Examination(seconds=seconds)
    examine_address(exam, "pi", "server", url, "PI_BASE_URL")
    return {row.check: row for row in exam.rows}


def test_address_when_a_url_is_read_then_its_host_and_port() -> None:
    assert Address.of("https://pi.example/piwebapi") == Address("https", "pi.example", 443)
    assert Address.of("http://pi.example:8443/x") == Address("http", "pi.example", 8443)
    assert [Address.of(url) for url in ("pi.example/piwebapi", "ftp://pi.example", "http://", "http://h:port")] == [
        None
    ] * 4


def test_name_when_it_does_not_resolve_then_says_so_and_nothing_after_it_is_tried() -> None:
    rows = rows_of("https://no-such-host.invalid/piwebapi")
    assert rows["server name"].outcome == "failed"
    assert "no-such-host.invalid does not resolve" in rows["server name"].result
    assert "PI_BASE_URL" in rows["server name"].advice and "DNS" in rows["server name"].advice
    assert [rows[check].outcome for check in ("server port", "server TLS")] == ["not tried", "not tried"]
    assert "server name" in rows["server port"].result


def test_name_when_the_setting_is_no_url_then_says_so() -> None:
    rows = rows_of("pi.example")
    assert rows["server name"].outcome == "failed"
    assert "https://" in rows["server name"].result and "PI_BASE_URL" in rows["server name"].advice


def test_port_when_nobody_listens_then_refused() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        rows = rows_of(f"https://127.0.0.1:{held.getsockname()[1]}/")
    assert rows["server port"].outcome == "failed"
    assert "refuses the connection" in rows["server port"].result
    assert "correct the port in PI_BASE_URL" in rows["server port"].advice
    assert rows["server TLS"].outcome == "not tried"


def test_tls_when_the_certificate_is_good_then_days_left_are_told(tls_server: TlsServer) -> None:
    row = rows_of(f"https://127.0.0.1:{tls_server()}/")["server TLS"]
    assert row.outcome == "ok", row
    assert "TLSv1.3" in row.result and "199 days left" in row.result


def test_tls_when_the_certificate_ends_soon_then_a_warning_with_the_day(tls_server: TlsServer) -> None:
    row = rows_of(f"https://127.0.0.1:{tls_server(ends=timedelta(days=12))}/")["server TLS"]
    assert (row.outcome, "11 days left" in row.result, "renewed before" in row.advice) == ("warning", True, True)


def test_tls_when_the_issuer_is_unknown_then_ssl_cert_file_is_named(tls_server: TlsServer) -> None:
    row = rows_of(f"https://127.0.0.1:{tls_server(trusted=False)}/")["server TLS"]
    assert row.outcome == "failed"
    assert "not trusted" in row.result and "issued by Test authority of the doctor" in row.result
    assert "SSL_CERT_FILE" in row.advice


def test_tls_when_the_certificate_has_expired_then_the_day_is_told(tls_server: TlsServer) -> None:
    row = rows_of(f"https://127.0.0.1:{tls_server(ends=timedelta(days=-3))}/")["server TLS"]
    assert row.outcome == "failed"
    assert "has expired on 20" in row.result and "renewed" in row.advice


def test_tls_when_the_certificate_is_of_another_host_then_the_names_are_told(tls_server: TlsServer) -> None:
    row = rows_of(f"https://127.0.0.1:{tls_server(host='pi.example')}/")["server TLS"]
    assert row.outcome == "failed"
    assert "not for 127.0.0.1" in row.result and "pi.example" in row.result


def test_tls_when_the_port_speaks_no_tls_then_failed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # Accepted by the kernel; closed without a word by the listener's end.
        port = listener.getsockname()[1]
        rows = rows_of(f"https://127.0.0.1:{port}/", seconds=0.5)
    assert rows["server port"].outcome == "ok"
    assert rows["server TLS"].outcome == "failed"
    assert "no answer within" in rows["server TLS"].result and "PI_BASE_URL" in rows["server TLS"].advice


@pytest.mark.parametrize(
    ("url", "outcome"), [("http://127.0.0.1:1/", "not tried"), ("http://localhost:1/", "not tried")]
)
def test_tls_when_the_port_is_closed_then_not_tried(url: str, outcome: str) -> None:
    assert rows_of(url)["server TLS"].outcome == outcome


def test_issuer_when_it_is_the_host_of_the_data_then_it_is_not_looked_at_twice() -> None:
    exam = Examination()
    needed = examine_issuer(exam, "pi", "https://pi.example/t", "PI_TOKEN_URL", "https://pi.example/x", "server TLS")
    assert (needed, exam.rows) == ("server TLS", [])
