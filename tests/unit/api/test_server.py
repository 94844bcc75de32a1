"""The application behind the real server."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx

from pipelines.demo_processes import free_port

ROOT = Path(__file__).resolve().parents[3]


def wait_until_it_answers(client: httpx.Client, process: subprocess.Popen[bytes]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, "the server ended"
        try:
            return client.get("/readyz")
        except httpx.TransportError:
            # Waits for the server's socket, not for time to pass.
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
    raise AssertionError("the server did not answer within a minute")


def test_server_on_a_free_port_then_it_serves_and_stops_on_request(tiny_warehouse: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WAREHOUSE_DIR": str(tiny_warehouse),
        "OPERATOR": "tiny",
        "CORS_ALLOWED_ORIGINS": "https://spa.example",
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "api"], cwd=ROOT, env=environment, stdout=log, stderr=log)
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", headers={"accept-encoding": "br"}) as client:
                assert wait_until_it_answers(client, process).status_code == 200
                first = client.get("/api/v1/assets", headers={"origin": "https://spa.example"})
                assert (first.status_code, first.headers["content-encoding"]) == (200, "br")
                assert first.headers["access-control-allow-origin"] == "https://spa.example"
                held = client.get("/api/v1/assets", headers={"if-none-match": first.headers["etag"]})
                assert (held.status_code, held.content) == (304, b"")
                head = client.head("/api/v1/assets")
                assert (head.status_code, head.content) == (200, b"")
                assert client.get("/nowhere").headers["content-type"] == "application/problem+json"
                assert client.post("/api/v1/summary").status_code == 405
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(30)
    lines = (tmp_path / "log").read_text()
    assert code in (0, -signal.SIGTERM), lines
    assert '"route":"/api/v1/assets"' in lines
    assert "Traceback" not in lines
    assert all(line.startswith('{"time":') for line in lines.splitlines() if line.strip()), lines


def test_main_with_faulty_settings_then_two_and_every_fault() -> None:
    environment = {"PATH": os.environ["PATH"], "PORT": "x", "AUTH_MODE": "entra"}
    done = subprocess.run(
        [sys.executable, "-m", "api"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "PORT" in done.stderr
    assert "AUTH_MODE" in done.stderr
    assert "Traceback" not in done.stderr
