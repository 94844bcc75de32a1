"""Amazon's S3 as Moto speaks it, on a free port, in memory: another project's server of the protocol, conditional writes too."""

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from pipelines.demo_processes import free_port
from tests.listening import until_listening
from warehouse.object_store import Location, location

# One request after the other: Moto looks at a tag and writes in two steps, which S3 does in one.
SERVER = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""


@dataclass(frozen=True)
class S3:
    """A running server."""

    port: int

    def environment(self, port: int | None = None) -> dict[str, str]:
        """The settings that lead to it, through a proxy's port where one is given."""
        return {
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing-too",
            "AWS_REGION": "eu-west-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port or self.port}",
        }

    def place(self, url: str, port: int | None = None) -> Location:
        return location(url, self.environment(port))

    def lake_url(self) -> str:
        """A prefix in a bucket of its own."""
        bucket = f"lake-{secrets.token_hex(4)}"
        named = {name.lower(): value for name, value in self.environment().items()}
        client = import_module("boto3").client(
            "s3",
            region_name=named.pop("aws_region"),
            endpoint_url=named.pop("aws_endpoint_url"),
            **named,
        )
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
        return f"s3://{bucket}/site/a"


@contextmanager
def s3(log: Path) -> Iterator[S3]:
    """The server, once it answers; stopped with the block."""
    if find_spec("moto") is None or find_spec("flask") is None:
        reason = "moto is missing: `make test` installs it"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    port = free_port()
    with log.open("wb") as stream:
        process = subprocess.Popen([sys.executable, "-c", SERVER, str(port)], stdout=stream, stderr=stream)
        try:
            until_listening(process, port, log)
            yield S3(port)
        finally:
            process.kill()
            process.wait(30)
