"""Root keys in the transit engine of HashiCorp Vault or OpenBao, which never leave it.

One transit key, whose versions are the root keys; the wrapped key's id is the associated data. A version ends by trimming,
which goes from the oldest up. API: developer.hashicorp.com/vault/api-docs/secret/transit, openbao.org/api-docs/secret/transit.
"""

import asyncio
import base64
import logging
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit
from uuid import UUID, uuid5

import httpx2

from governance import clock, outbound
from governance.errors import ConfigurationError, Conflict, KeyGone, KeyUnavailable
from governance.vault import keyring
from governance.vault.keyring import Destruction, RootState

_TIMEOUT_S: Final = 5.0
_TOTAL_S: Final = 10.0
_AEAD: Final = frozenset({"aes256-gcm96", "chacha20-poly1305"})
_CIPHERTEXT: Final = re.compile(r"vault:v([1-9][0-9]{0,8}):[A-Za-z0-9+/]+=*")
_TARGET: Final = re.compile(r"(?P<mount>[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*)/(?P<key>[A-Za-z0-9_.-]+)")
_NAMESPACE: Final = UUID("6f6d1f0e-6f3c-5d53-9d1b-5a6f0a7a5c11")


@dataclass(frozen=True, slots=True, repr=False)
class Access:
    """How Vault is reached. `token` is asked at every call, so that a renewed token file counts."""

    address: str
    token: Callable[[], str]
    namespace: str | None = None
    cacert: Path | None = None


@dataclass(frozen=True, slots=True)
class _Versions:
    """Of a transit key: trimmed below `available`, closed below `decryption`."""

    latest: int
    available: int
    decryption: int
    encryption: int


class _BadRequest(KeyUnavailable):
    """Vault answered 400: a key, version or ciphertext that it can't use."""


class VaultTransitKeyring:
    """Root keys as versions of one transit key."""

    name = "vault-transit"
    destruction = (
        "Vault or OpenBao destroys a root key when it trims the key's version, at once. Its own snapshots and backups hold "
        "the version, under Vault's seal, until they are deleted."
    )
    root_lifetime: timedelta | None = timedelta()

    def __init__(self, access: Access, mount: str, key: str) -> None:
        """Not open yet: use `open`."""
        # The client's loggers print addresses at INFO, and more at DEBUG.
        for name in ("httpx2", "httpcore2"):
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        self._access = access
        self._key = f"{mount}/{key}"
        self._mount, self._name = quote(mount), quote(key)
        self._latest = 0
        try:
            verify = ssl.create_default_context(cafile=access.cacert)
        except (OSError, ValueError):
            raise ConfigurationError("VALUEAPI_VAULT_CACERT can't be read as PEM certificates.") from None
        # trust_env off: a proxy variable must not carry the token elsewhere.
        self._client = httpx2.AsyncClient(verify=verify, timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False)

    @classmethod
    async def open(cls, target: str, access: Access, *, create: bool = False) -> "VaultTransitKeyring":
        """Find the transit key; with `create`, make it where there is none.

        Raises ConfigurationError where the key can't serve, KeyUnavailable where Vault can't be reached or refuses.
        """
        found = _TARGET.fullmatch(target)
        if found is None:
            raise ConfigurationError("VALUEAPI_KEYRING=vault-transit: needs MOUNT/KEY, such as transit/valueapi.")
        if not keyring.is_private(access.address):
            raise ConfigurationError("VALUEAPI_VAULT_ADDR must be https (plain http only to this machine).")
        ring = cls(access, found["mount"], found["key"])
        try:
            if create and await ring._read() is None:
                await ring._ask("POST", f"keys/{ring._name}", {"type": "aes256-gcm96"})
            data = await ring._read()
            if data is None:
                raise ConfigurationError(
                    "Vault doesn't have the transit key that VALUEAPI_KEYRING names: run `valueapi migrate`."
                )
            _check(data)
            ring._latest = _versions(data).latest
        except BaseException:
            await ring.aclose()
            raise
        return ring

    @property
    def current(self) -> UUID:
        return self._id(self._latest)

    async def wrap(self, key: bytes, key_id: UUID) -> bytes:
        body = {"plaintext": _base64(key), "associated_data": _base64(key_id.bytes)}
        text = (await self._ask("POST", f"encrypt/{self._name}", body) or {}).get("ciphertext")
        found = _CIPHERTEXT.fullmatch(text) if isinstance(text, str) else None
        if found is None:
            raise KeyUnavailable("Vault's answer can't be read.")
        # The answer says which version it was: another process may have rotated.
        self._latest = int(found[1])
        return keyring.from_service(self.current, found[0].encode())

    async def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        root, ciphertext = keyring.to_service(wrapped)
        found = _CIPHERTEXT.fullmatch(ciphertext.decode("ascii", "replace"))
        if found is None or self._id(int(found[1])) != root:
            raise KeyUnavailable(
                "A stored key was altered, or is wrapped under a root key that this transit key doesn't hold."
            )
        body = {"ciphertext": found[0], "associated_data": _base64(key_id.bytes)}
        try:
            data = await self._ask("POST", f"decrypt/{self._name}", body)
        except _BadRequest:
            data = None
        if data is None:
            raise KeyUnavailable(await self._why_not(int(found[1])))
        try:
            return base64.b64decode(data["plaintext"], validate=True)
        except (KeyError, TypeError, ValueError):
            raise KeyUnavailable("Vault's answer can't be read.") from None

    async def root_ids(self) -> dict[UUID, RootState]:
        versions = await self._current_versions()
        states = {}
        for version in range(versions.available, versions.latest + 1):
            closed = version < versions.decryption
            old = RootState.UNAVAILABLE if closed else RootState.OLD
            states[self._id(version)] = RootState.CURRENT if version == versions.latest else old
        return states

    async def rotate(self) -> UUID:
        await self._ask("POST", f"keys/{self._name}/rotate", {})
        await self._current_versions()
        return self.current

    async def destroy(self, root_id: UUID) -> Destruction:
        versions = await self._current_versions()
        if root_id == self.current:
            raise Conflict("The current root key can't be destroyed: rotate first.")
        have = range(versions.available, versions.latest)
        version = next((version for version in have if self._id(version) == root_id), None)
        if version is None:
            raise KeyGone("Vault doesn't hold this root key.")
        if version != versions.available:
            raise Conflict("Vault trims a transit key from its oldest version up: destroy the older root keys first.")
        after = version + 1
        limits = {
            "min_decryption_version": max(after, versions.decryption),
            "min_encryption_version": max(after, versions.encryption),
        }
        # Trimming asks for both limits first. A crash in between leaves a version that opens nothing; call again.
        await self._ask("POST", f"keys/{self._name}/config", limits)
        await self._ask("POST", f"keys/{self._name}/trim", {"min_available_version": after})
        if root_id in await self.root_ids():
            raise KeyUnavailable("Vault says that the version is still there after trimming.")
        return Destruction(clock.now(), self.destruction)

    async def aclose(self) -> None:
        await self._client.aclose()

    def _id(self, version: int) -> UUID:
        return uuid5(_NAMESPACE, f"{self._key}:{version}")

    async def _read(self) -> dict[str, Any] | None:
        return await self._ask("GET", f"keys/{self._name}")

    async def _current_versions(self) -> _Versions:
        data = await self._read()
        if data is None:
            raise KeyUnavailable("Vault doesn't have the transit key any more.")
        versions = _versions(data)
        self._latest = versions.latest
        return versions

    async def _why_not(self, version: int) -> str:
        versions = await self._current_versions()
        if version < versions.available:
            return "A stored key is wrapped under a root key whose version was trimmed: it is destroyed."
        if version < versions.decryption:
            return "A stored key is wrapped under a root key that min_decryption_version closes in Vault."
        if version > versions.latest:
            return "A stored key is wrapped under a root key that this transit key doesn't hold."
        return "A stored key can't be unwrapped: it was altered, or the transit key is another one."

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any] | None:
        """`data` of the answer, None where there is none. Raises KeyUnavailable, as _BadRequest for a 400."""
        headers = {"x-vault-token": self._access.token(), "x-vault-request": "true"}
        if self._access.namespace:
            headers["x-vault-namespace"] = self._access.namespace
        url = f"{self._access.address.rstrip('/')}/v1/{self._mount}/{path}"
        outbound.saw(urlsplit(url).hostname or "")
        try:
            async with asyncio.timeout(_TOTAL_S):
                answer = await self._client.request(method, url, headers=headers, json=body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            raise KeyUnavailable("Vault can't be reached.") from None
        if answer.status_code == 400:
            raise _BadRequest("Vault refused the request: the transit key is gone, or can't do this.")
        if answer.status_code == 403:
            raise KeyUnavailable("Vault refused: the token has ended, or its policy doesn't allow this.")
        if answer.status_code == 503:
            raise KeyUnavailable("Vault is sealed or not ready.")
        if answer.status_code == 204 or (answer.status_code == 404 and method == "GET"):
            return None
        if answer.status_code != 200:
            raise KeyUnavailable(f"Vault answered {answer.status_code}.")
        try:
            data = answer.json()["data"]
        except (ValueError, KeyError, TypeError):
            raise KeyUnavailable("Vault's answer can't be read.") from None
        return data if isinstance(data, dict) else None

    def __repr__(self) -> str:
        return f"<VaultTransitKeyring version {self._latest}>"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _versions(data: dict[str, Any]) -> _Versions:
    """Version 0 as a limit means that none is set."""
    try:
        return _Versions(
            latest=int(data["latest_version"]),
            available=max(1, int(data.get("min_available_version", 0))),
            decryption=int(data["min_decryption_version"]),
            encryption=int(data["min_encryption_version"]),
        )
    except (KeyError, TypeError, ValueError):
        raise KeyUnavailable("Vault's answer can't be read.") from None


def _check(data: dict[str, Any]) -> None:
    """Refuse keys whose destruction wouldn't be what `destruction` says, or that can't bind a key to its id."""
    if data.get("type") not in _AEAD or data.get("derived"):
        raise ConfigurationError("The transit key must be of type aes256-gcm96 or chacha20-poly1305, not derived.")
    if data.get("exportable") or data.get("allow_plaintext_backup"):
        raise ConfigurationError(
            "The transit key may be exported or backed up in plaintext: what left Vault can't be destroyed there."
        )
