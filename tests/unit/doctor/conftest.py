"""A server that only shakes hands: TLS with a certificate made for the test."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TlsServer = Callable[..., int]


def certificate(folder: Path, *, begins: timedelta, ends: timedelta, host: str) -> Path:
    """A self-signed certificate with its key, in one PEM file; begin and end count from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority of the doctor")])
    now = datetime.now(UTC)
    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return path


@pytest.fixture
def tls_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsServer]:
    """Starts a server (at most one a test) and gives its port; `trusted` makes its certificate known to the clients."""
    with contextlib.ExitStack() as stack:

        def start(
            *,
            begins: timedelta = timedelta(days=-100),
            ends: timedelta = timedelta(days=200),
            host: str = "127.0.0.1",
            trusted: bool = True,
        ) -> int:
            path = certificate(tmp_path, begins=begins, ends=ends, host=host)
            if trusted:
                monkeypatch.setenv("SSL_CERT_FILE", str(path))
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(path)
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            done = threading.Event()

            def serve() -> None:
                while not done.is_set():
                    try:
                        plain, _ = listener.accept()
                    except OSError:
                        return
                    # Clients that refuse the certificate, or only see whether the port is open, end in the middle.
                    with plain, contextlib.suppress(OSError), context.wrap_socket(plain, server_side=True) as wrapped:
                        wrapped.recv(1)

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()

            def stop() -> None:
                done.set()
                # Wakes the accept.
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(5)

            stack.callback(stop)
            return int(listener.getsockname()[1])

        yield start
