"""Policy section 7: "utilizing encryption in transit (HTTPS/TLS) and at rest."

What leaves this machine, or comes to it, is under TLS with the other end verified. That the client of the providers refuses
an end that it can't verify is tried against one that has a certificate of its own making.
"""

import asyncio
import ssl
import tempfile
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from governance import clock
from governance.bodies.body import Body
from governance.controls.control import Control, ControlResult
from governance.incidents.incident import Severity
from router.gateway.upstream import ConnectFailed, HttpxUpstream, Timeouts, UpstreamError, UpstreamRequest

_NAME: Final = "localhost"
_QUICK: Final = Timeouts(connect_s=5, first_byte_s=5, between_bytes_s=5, total_s=10, write_s=5)


@dataclass(frozen=True, slots=True)
class Link:
    """A listener or a connection. `wrong` says what is missing, where something is; `unseen` what can't be seen from here."""

    what: str
    wrong: str = ""
    unseen: str = ""


class TransportEncrypted(Control):
    """`links` gives every listener and connection that the settings make."""

    id = "transport-encrypted"
    title = "What travels is under TLS and verified, or stays on this machine"
    rule = "utilizing encryption in transit (HTTPS/TLS) and at rest."
    source = "Privacy policy 2026-03, section 7; GDPR Art. 32(1)(a)"
    severity = Severity.HIGH

    def __init__(self, links: Callable[[], Iterable[Link]]) -> None:
        self._links = links

    async def run(self) -> ControlResult:
        links = list(self._links())
        failures = [f"{each.what}: {each.wrong}." for each in links if each.wrong]
        if not await _refuses_unverified():
            failures.append("The client of the providers takes a certificate that nobody vouches for.")
        unseen = " ".join(f"{each.what}: {each.unseen}." for each in links if each.unseen)
        return ControlResult(len(links) + 1, tuple(failures), unseen, {"links": len(links)})


async def _refuses_unverified() -> bool:
    """Whether nothing is sent to an end whose certificate nobody vouches for."""
    taken = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        taken.set()  # a handshake that was finished: the other end has been believed
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=_own_certificate())
    async with server, aclosing(HttpxUpstream(trust_env=False)) as client:
        port = server.sockets[0].getsockname()[1]
        request = UpstreamRequest("POST", f"https://{_NAME}:{port}/", [], Body(b"{}"), _QUICK)
        try:
            await client.send(request, lambda: None)
        except ConnectFailed:
            return not taken.is_set()
        except UpstreamError:
            return False
    return False


def _own_certificate() -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _NAME)])
    now = clock.now()
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(_NAME)]), critical=False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    pem += key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:  # the library reads it from a file alone
        file = Path(folder) / "own.pem"
        file.write_bytes(pem)
        context.load_cert_chain(file)
    return context
