"""The OpenID provider of tests/node, started and moved by tests, and the API as its own process behind it."""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipelines.demo_processes import free_port
from tests.unit.api.test_server import wait_until_it_answers

ROOT = Path(__file__).parents[2]
NODE = ROOT / "tests" / "node"
TENANT = "0a1b2c3d-1111-2222-3333-444455556666"
CLIENT = "9f8e7d6c-aaaa-bbbb-cccc-ddddeeeeffff"
COOLDOWN_SECONDS = 0.5
ROLES = """
[roles."Production.Reader"]
may = ["read"]

[roles."Production.Reader.East"]
may = ["read"]
assets = ["east"]

[roles."Releases.Manager"]
may = ["read", "manageReleases"]

[scopes."access_as_user"]
"""
USER = {
    "aud": CLIENT,
    "tid": TENANT,
    "ver": "2.0",
    "oid": "12345678-0000-0000-0000-000000000000",
    "sub": "subject",
    "name": "Ada Engineer",
    "scp": "access_as_user",
    "roles": ["Production.Reader"],
}
APPLICATION = {**USER, "scp": None, "name": None, "idtyp": "app", "azp": "daemon"}


@dataclass
class OpenIdProvider:
    """The running provider. `authority` is what the API is told; every method moves the provider itself."""

    authority: str
    control: httpx.Client

    def _do(self, command: str, **asked: Any) -> dict[str, Any]:
        done = self.control.post(f"/{command}", json=asked)
        assert done.status_code == 200, done.text
        answer: dict[str, Any] = done.json()
        return answer

    def key(self, *, publish: bool = True, retire: bool = False) -> str:
        """A new key's kid; `retire` takes every other one out of the key set."""
        kid: str = self._do("key", publish=publish, retire=retire)["kid"]
        return kid

    def publish(self, *kids: str) -> None:
        """The key set holds exactly these."""
        self._do("publish", kids=kids)

    def token(self, kid: str, *, claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None) -> str:
        """A user's token under a key, some claims changed; None takes a claim out."""
        token: str = self._do("token", kid=kid, claims={**USER, **(claims or {})}, header=header or {})["token"]
        return token

    def application_token(self, kid: str, **claims: Any) -> str:
        """An application's own token."""
        token: str = self._do("token", kid=kid, claims={**APPLICATION, **claims})["token"]
        return token

    def mode(self, mode: str, **discovery: Any) -> None:
        """ok, fail (500), hang, or broken (no JSON); `discovery` changes the discovery document."""
        self._do("mode", mode=mode, discovery=discovery)

    def readings(self) -> int:
        """How often the key set was asked for."""
        count: int = self._do("counts")["keys"]
        return count

    def attempts(self) -> int:
        """How often anything was asked for."""
        counts = self._do("counts")
        return int(counts["discovery"]) + int(counts["keys"])

    def public_key(self, kid: str) -> dict[str, Any]:
        """The key as the key set lists it."""
        listed = self.control.get(f"{self.authority}/{TENANT}/discovery/v2.0/keys").json()["keys"]
        return next(key for key in listed if key["kid"] == kid)


@contextmanager
def openid_provider() -> Iterator[OpenIdProvider]:
    """A provider on free ports. Skips where node or its packages are missing; in CI that is a failure."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "oauth2-mock-server").is_dir():
        reason = "node with oauth2-mock-server is not here: npm ci in tests/node installs it"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    process = subprocess.Popen(
        [node, "openid_provider.mjs", TENANT],
        cwd=NODE,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        readable, _, _ = select.select([process.stdout], [], [], 60)
        assert readable, "the OpenID provider did not start within a minute"
        said = json.loads(process.stdout.readline())
        with httpx.Client(base_url=said["control"], trust_env=False, timeout=30) as control:
            yield OpenIdProvider(said["authority"], control)
    finally:
        _end(process)


@dataclass
class ServedApi:
    """The API as its own process with AUTH_MODE=entra."""

    base_url: str
    log: Path
    clients: list[httpx.Client] = field(default_factory=list)

    def client(self) -> httpx.Client:
        """A client with its own connections; closed with the API."""
        client = httpx.Client(base_url=self.base_url, trust_env=False, timeout=30)
        self.clients.append(client)
        return client

    def get(self, path: str, token: str | None = None, **headers: str) -> httpx.Response:
        """GET with a token."""
        if not self.clients:
            self.client()
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        return self.clients[0].get(path, headers=headers)


@contextmanager
def served_api(provider: OpenIdProvider, warehouse: Path, folder: Path) -> Iterator[ServedApi]:
    """The API on a free port, its keys from the provider."""
    folder.mkdir(exist_ok=True)
    (folder / "roles.toml").write_text(ROLES)
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "WAREHOUSE_DIR": str(warehouse),
        "AUTH_MODE": "entra",
        "AUTH_ROLES_FILE": str(folder / "roles.toml"),
        "AUTH_KEYS_COOLDOWN_SECONDS": str(COOLDOWN_SECONDS),
        # Floods are the provider's to count here, not the rate limit's.
        "RATE_LIMIT": "off",
        "AZURE_TENANT_ID": TENANT,
        "AZURE_CLIENT_ID": CLIENT,
        "AZURE_AUTHORITY": provider.authority,
    }
    log = folder / "log"
    with log.open("wb") as lines:
        process = subprocess.Popen(
            [sys.executable, "-m", "api"], cwd=ROOT, env=environment, stdout=lines, stderr=lines, start_new_session=True
        )
        api = ServedApi(f"http://127.0.0.1:{port}", log)
        try:
            with httpx.Client(base_url=api.base_url, trust_env=False) as client:
                assert wait_until_it_answers(client, process).status_code == 200, log.read_text()
            yield api
        finally:
            for client in api.clients:
                client.close()
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.send_signal(signal.SIGTERM)
        process.wait(15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(15)
    finally:
        if process.stdout is not None:
            process.stdout.close()


def until(holds: Callable[[], bool], seconds: float = 30) -> None:
    """Asks again and again until it holds. Each asking is work of its own, so this waits for a condition and not for time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come to hold"
