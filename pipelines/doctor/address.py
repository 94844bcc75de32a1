"""An address from the outside in: its name, its port, its certificate. Nothing is sent beyond a TLS handshake."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
from cryptography import x509
from cryptography.x509.oid import NameOID

from pipelines.doctor.examination import Examination, Finding, Trouble

# Time enough to have a certificate renewed.
CERTIFICATE_DAYS = 30
_CONNECT_SECONDS = 10.0
_PORTS = {"http": 80, "https": 443}
# OpenSSL's numbers of why a certificate is not taken (x509_vfy.h).
_EXPIRED, _NOT_YET_VALID, _WRONG_NAME = 10, 9, (62, 64)
_UNKNOWN_ISSUER = (18, 19, 20, 21)


@dataclass(frozen=True)
class Address:
    """Where something listens; `scheme` http, https, or tcp for what is no web server."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address | None:
        """The address that a URL leads to; None for what is no http or https URL with a host."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            return None
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return cls(parts.scheme, parts.hostname, port or _PORTS[parts.scheme])

    @property
    def is_loopback(self) -> bool:
        """Whether it never leaves this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def examine_address(exam: Examination, source: str, what: str, address: Address | str, setting: str) -> str:
    """Name, port and, for https, certificate of an address; gives the name of the check that the next ones need.

    `what` tells addresses of one source apart in the names of checks; a text is a URL.
    """
    found = Address.of(address) if isinstance(address, str) else address
    name, port, tls = f"{what} name", f"{what} port", f"{what} TLS"
    if found is None:
        exam.check(source, name, lambda: _no_address(setting), settings=setting)
        exam.skip(source, (port, tls), f"it needs {name}")
        return port
    exam.check(source, name, lambda: _resolve(found, setting), settings=setting)
    exam.check(source, port, lambda: _connect(found, setting), needs=[name], settings=setting)
    if found.scheme == "tcp":
        return port
    exam.check(source, tls, lambda: _handshake(found, setting), needs=[port], settings=setting)
    return tls


def examine_issuer(exam: Examination, source: str, url: str, setting: str, data_url: str, data_check: str) -> str:
    """As `examine_address`, of who gives tokens; where that is the host of the data, what its check said holds."""
    if Address.of(url) is not None and Address.of(url) == Address.of(data_url):
        return data_check
    return examine_address(exam, source, "issuer", url, setting)


def _no_address(setting: str) -> Finding:
    raise Trouble(
        "no address: a URL with http:// or https:// and a host is needed", f"correct {setting}; see .env.example"
    )


def _resolve(address: Address, setting: str) -> str:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Trouble(
            f"{address.host} does not resolve: {reason}",
            f"correct the host in {setting}, or have the name added to the DNS that this machine asks",
        ) from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return f"{address.host} is {', '.join(addresses[:4])}"


def _connect(address: Address, setting: str) -> str:
    try:
        socket.create_connection((address.host, address.port), _CONNECT_SECONDS).close()
    except ConnectionRefusedError:
        raise Trouble(
            f"{address} refuses the connection: nothing listens there",
            f"correct the port in {setting}, or have the service started",
        ) from None
    except TimeoutError:
        raise Trouble(
            f"{address} does not answer within {_CONNECT_SECONDS:.0f} s",
            f"have the firewall opened from this machine to {address}, or correct {setting}",
        ) from None
    except OSError as error:
        raise Trouble(
            f"{address} cannot be reached: {error.strerror or error}",
            f"check the network's route to {address}, or correct {setting}",
        ) from None
    return f"{address} accepts connections"


def _handshake(address: Address, setting: str) -> Finding:
    if address.scheme == "http":
        if address.is_loopback:
            return Finding("no TLS, and none is needed on this machine's own loopback")
        return Finding(
            "no TLS: credentials and data pass the network in clear",
            f"use the https address of the service in {setting}",
            is_warning=True,
        )
    # The same trust as the clients have.
    context = httpx.create_ssl_context()
    try:
        with (
            socket.create_connection((address.host, address.port), _CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=address.host) as wrapped,
        ):
            certificate, version = wrapped.getpeercert(binary_form=True), wrapped.version()
    except ssl.SSLCertVerificationError as error:
        raise _refused(address, error, _presented(address)) from None
    except (ssl.SSLError, ConnectionError) as error:
        raise Trouble(
            f"{address} does not speak TLS as expected: {error.strerror or error}",
            f"check that {setting} names the https port, and that the server offers TLS 1.2 or newer",
        ) from None
    if certificate is None:
        raise Trouble(f"{address} shows no certificate", f"check that {setting} names the https port")
    ends = x509.load_der_x509_certificate(certificate).not_valid_after_utc
    days = (ends - datetime.now(UTC)).days
    told = f"{version}; the certificate is valid until {ends:%Y-%m-%d}, {days} days left"
    if days < CERTIFICATE_DAYS:
        return Finding(told, f"have the certificate of {address.host} renewed before {ends:%Y-%m-%d}", is_warning=True)
    return Finding(told)


def _presented(address: Address) -> x509.Certificate | None:
    """The certificate that the server shows, whoever issued it; nothing is sent to it."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        with (
            socket.create_connection((address.host, address.port), _CONNECT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=address.host) as wrapped,
        ):
            shown = wrapped.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(shown) if shown else None
    except (OSError, ValueError):
        return None


def _refused(address: Address, error: ssl.SSLCertVerificationError, shown: x509.Certificate | None) -> Trouble:
    code, words = error.verify_code, error.verify_message
    if code == _EXPIRED:
        since = f" on {shown.not_valid_after_utc:%Y-%m-%d}" if shown else ""
        return Trouble(
            f"the certificate has expired{since}", f"have the certificate of {address.host} renewed by its owner"
        )
    if code == _NOT_YET_VALID:
        since = f" before {shown.not_valid_before_utc:%Y-%m-%d %H:%M} UTC" if shown else ""
        return Trouble(f"the certificate is not valid{since}", "set this machine's clock right, or have it renewed")
    if code in _WRONG_NAME:
        names = f"; it is for {', '.join(_names(shown))}" if shown else ""
        return Trouble(
            f"the certificate is not for {address.host}{names}",
            "use a host that the certificate names, in the address, or have the certificate reissued",
        )
    issuer = f"; issued by {_common_name(shown.issuer)}" if shown else ""
    told = f"the certificate is not trusted: {words}{issuer}"
    if code in _UNKNOWN_ISSUER:
        advice = (
            "have the issuing authority's certificate (PEM) and point SSL_CERT_FILE at it; "
            "verification is never switched off"
        )
        return Trouble(told, advice)
    return Trouble(told, f"have the owner of {address.host} look at its certificate")


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [_common_name(certificate.subject)]
    return [str(each.value) for each in names][:4]
