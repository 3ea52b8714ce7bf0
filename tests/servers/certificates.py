"""Certificates of servers for one run, signed by an authority of the run or by themselves."""

import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from servers.ports import LOOPBACK

__all__ = ["Authority", "Certificate", "make_certificate"]

_NAMES = (LOOPBACK, "localhost")


@dataclass(frozen=True)
class Certificate:
    """A server's certificate in PEM files.

    Parameters
    ----------
    file : Path
        The certificate, with its private key unless `key` is set.
    key : Path, optional
        The private key.
    authority : Path, optional
        The certificate of the authority that signed it; by default it is self-signed.
    """

    file: Path
    key: Path | None = None
    authority: Path | None = None

    @property
    def ca(self) -> Path:
        """The certificate that a client has to trust."""
        return self.authority or self.file

    def server_context(self) -> ssl.SSLContext:
        """The TLS context of a server with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context

    def client_context(self) -> ssl.SSLContext:
        """The TLS context of a client that trusts the server."""
        return ssl.create_default_context(cafile=self.ca)


class Authority:
    """A certificate authority of the run.

    Attributes
    ----------
    ca : Path
        Its certificate, in `folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._count = 0
        self.ca = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def certificate(
        self, names: Iterable[str] = _NAMES, *, not_after: datetime | None = None
    ) -> Certificate:
        """A new certificate for hosts with these names or addresses."""
        before = None if not_after is None else not_after - timedelta(days=1)
        issued = self._authority.issue_cert(*names, not_before=before, not_after=not_after)
        self._count += 1
        file, key = (self._folder / f"{self._count}.{kind}" for kind in ("crt", "key"))
        issued.cert_chain_pems[0].write_to_path(file)
        issued.private_key_pem.write_to_path(key)
        return Certificate(file, key, self.ca)

    def client_context(self) -> ssl.SSLContext:
        """The TLS context of a client that trusts this authority."""
        return ssl.create_default_context(cafile=self.ca)

    def expired(self) -> Certificate:
        """A certificate that is no longer valid."""
        return self.certificate(not_after=datetime.now(UTC) - timedelta(hours=1))

    def for_another_host(self) -> Certificate:
        """A certificate that is not valid for the servers of the tests."""
        return self.certificate(["other.invalid", "192.0.2.1"])


def make_certificate(folder: Path, names: Iterable[str] = _NAMES) -> Certificate:
    """A self-signed certificate for hosts with these names or addresses, valid for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    return Certificate(file)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
