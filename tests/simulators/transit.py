"""The transit engine's documented HTTP API on a real socket: keys, rotate, config, trim, encrypt, decrypt.

As in developer.hashicorp.com/vault/api-docs/secret/transit and openbao.org/api-docs/secret/transit, with the engine's own
conditions: trimming only below both limits and never back, closed versions aren't listed, associated data in base64.
"""

import base64
import json
import os
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.simulators.served import Served


class _Bad(Exception):
    pass


@dataclass
class _Key:
    name: str
    type: str = "aes256-gcm96"
    derived: bool = False
    exportable: bool = False
    allow_plaintext_backup: bool = False
    versions: dict[int, tuple[bytes, int]] = field(default_factory=dict)
    latest: int = 0
    min_available: int = 0
    min_decryption: int = 1
    min_encryption: int = 0

    def rotate(self) -> None:
        self.latest += 1
        self.versions[self.latest] = (os.urandom(32), int(time.time()))

    def config(self, body: dict[str, Any]) -> None:
        decryption = int(body.get("min_decryption_version", self.min_decryption)) or 1
        encryption = int(body.get("min_encryption_version", self.min_encryption))
        if max(decryption, encryption) > self.latest:
            raise _Bad(f"cannot set min version, latest key version is {self.latest}")
        if 0 < encryption < decryption:
            raise _Bad("min encryption version must be greater than or equal to min decryption version")
        if self.min_available > min(decryption, encryption):
            raise _Bad("min version should not be less than min available version")
        self.min_decryption, self.min_encryption = decryption, encryption

    def trim(self, body: dict[str, Any]) -> None:
        if "min_available_version" not in body:
            raise _Bad("missing min_available_version")
        to = int(body["min_available_version"])
        if to < self.min_available:
            raise _Bad("minimum available version cannot be decremented")
        if self.min_encryption == 0 or self.min_decryption == 0:
            raise _Bad("minimum available version cannot be set when minimum encryption version is not set")
        if to > min(self.min_encryption, self.min_decryption):
            raise _Bad("minimum available version cannot be greater than minimum encryption or decryption version")
        if to < 1:
            raise _Bad("minimum available version should be positive")
        self.min_available = to
        self.versions = {number: version for number, version in self.versions.items() if number >= to}

    def encrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        if "plaintext" not in body:
            raise _Bad("missing plaintext to encrypt")
        nonce = os.urandom(12)
        sealed = AESGCM(self.versions[self.latest][0]).encrypt(
            nonce, _decoded(body["plaintext"]), _decoded(body.get("associated_data", ""))
        )
        text = base64.b64encode(nonce + sealed).decode()
        return {"ciphertext": f"vault:v{self.latest}:{text}", "key_version": self.latest}

    def decrypt(self, body: dict[str, Any]) -> dict[str, Any]:
        found = re.fullmatch(r"vault:v(\d+):(.*)", body.get("ciphertext", ""))
        if found is None:
            raise _Bad("invalid ciphertext: no prefix")
        version, data = int(found[1]), _decoded(found[2])
        if version > self.latest:
            raise _Bad("invalid ciphertext: version is too new")
        if version < self.min_decryption:
            raise _Bad("ciphertext or signature version is disallowed by policy (too old)")
        try:
            plain = AESGCM(self.versions[version][0]).decrypt(
                data[:12], data[12:], _decoded(body.get("associated_data", ""))
            )
        except (InvalidTag, ValueError):
            raise _Bad("invalid ciphertext: unable to decrypt") from None
        return {"plaintext": base64.b64encode(plain).decode()}

    def shown(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "derived": self.derived,
            "deletion_allowed": False,
            "min_available_version": self.min_available,
            "min_decryption_version": self.min_decryption,
            "min_encryption_version": self.min_encryption,
            "latest_version": self.latest,
            "exportable": self.exportable,
            "allow_plaintext_backup": self.allow_plaintext_backup,
            "supports_encryption": True,
            "supports_decryption": True,
            "keys": {str(n): made for n, (_, made) in self.versions.items() if n >= self.min_decryption},
        }


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise _Bad("failed to base64-decode") from None


class TransitSimulator(Served):
    """Runs while the `with` block does. `status` makes it answer nothing else; `keys` and `calls` may be looked at."""

    def __init__(self, *, token: str = "hvs.test-token", mount: str = "transit") -> None:
        self.token = token
        self.mount = mount
        self.keys: dict[str, _Key] = {}
        self.calls: list[str] = []
        self.status: int | None = None
        self.namespaces: set[str | None] = set()
        self._lock = threading.Lock()
        self.serve(_handler(self))

    def answer(self, method: str, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        with self._lock:
            self.calls.append(f"{method} {path}")
            if self.status is not None:
                return self.status, {"errors": ["secret detail of the server"]}
            found = re.fullmatch(rf"/v1/{self.mount}/(keys|encrypt|decrypt)/([\w.-]+)(?:/(rotate|config|trim))?", path)
            if found is None:
                return 404, {"errors": [f"no handler for route {path!r}"]}
            verb, name, change = found.groups()
            key = self.keys.get(name)
            try:
                if verb == "keys" and change is None:
                    return self._key(method, name, key, body)
                if key is None:
                    raise _Bad("encryption key not found")
                if verb != "keys":
                    return 200, {"data": key.encrypt(body) if verb == "encrypt" else key.decrypt(body)}
                {"rotate": lambda _: key.rotate(), "config": key.config, "trim": key.trim}[change](body)
                return 200, {"data": key.shown()}
            except _Bad as error:
                return 400, {"errors": [str(error)]}

    def _key(self, method: str, name: str, key: _Key | None, body: dict[str, Any]) -> tuple[int, dict[str, Any] | None]:
        if method == "GET":
            return (404, {"errors": []}) if key is None else (200, {"data": key.shown()})
        if key is None:
            key = self.keys[name] = _Key(name, **body)
            key.rotate()
        return 200, {"data": key.shown()}


def _handler(simulator: TransitSimulator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            simulator.namespaces.add(self.headers.get("x-vault-namespace"))
            if self.headers.get("x-vault-token") != simulator.token:
                return self._answer(403, {"errors": ["permission denied"]})
            return self._answer(*simulator.answer(self.command, self.path, json.loads(body or b"{}")))

        do_POST = do_GET

        def _answer(self, status: int, body: dict[str, Any] | None) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
