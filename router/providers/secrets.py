"""Provider keys: where they lie, and how one is read. A key never stands in a file of ours.

KeyUnresolved(ValueAPIError)    the provider is inactive; the text says what to mend, and never the key
"""

import os
import re
import ssl
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Never, Self, final
from urllib.parse import quote, urlsplit

import httpx2
from pydantic import BaseModel, ConfigDict, StringConstraints, model_validator

from governance import outbound
from governance.errors import ValueAPIError

VAULT_TIMEOUT_S = 5.0
_KEY_BYTES_MAX = 16 * 1024
# RFC 9110 section 5.5: visible ASCII only, so that no key can break out of its header.
_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")

_Env = Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,63}$")]
_File = Annotated[str, StringConstraints(pattern=r"^[/~]")]
_VaultPath = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")]


class KeyUnresolved(ValueAPIError):
    """The key reference leads to nothing usable."""


@final
class Secret:
    """A resolved key: prints as `***`, has no pickle, compares by identity."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The key itself, for the header of an upstream request alone."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Secret can't be pickled or copied")


class VaultRef(BaseModel):
    """A field of a KV version 2 secret in HashiCorp Vault or OpenBao: `{path: providers/openai, field: api_key}`."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    path: _VaultPath
    field: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    mount: _VaultPath = "secret"


class KeyRef(BaseModel):
    """Exactly one of `{env: NAME}`, `{file: PATH}`, `{vault: {path: …, field: …}}`; a literal key is refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    env: _Env | None = None
    file: _File | None = None
    vault: VaultRef | None = None

    @model_validator(mode="before")
    @classmethod
    def _no_literal(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError(
                "a key must not stand here: say where it lies, "
                "{env: NAME}, {file: PATH} or {vault: {path: …, field: …}}"
            )
        return value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(part is not None for part in (self.env, self.file, self.vault)) != 1:
            raise ValueError("exactly one of env, file and vault says where the key lies")
        return self

    def __str__(self) -> str:
        """For `doctor`: where the key lies, never what it is."""
        if self.env is not None:
            return f"environment variable {self.env}"
        if self.file is not None:
            return f"file {self.file}"
        assert self.vault is not None  # _exactly_one
        return f"vault {self.vault.mount}/{self.vault.path} field {self.vault.field}"


def resolve(ref: KeyRef, environ: Mapping[str, str] | None = None) -> Secret:
    """Read the key now. Blocks up to VAULT_TIMEOUT_S for a vault, so call it at start. Raises KeyUnresolved."""
    env = os.environ if environ is None else environ
    if ref.env is not None:
        return _usable(env.get(ref.env, ""), "it is not set")
    if ref.file is not None:
        return _from_file(Path(ref.file).expanduser())
    assert ref.vault is not None  # KeyRef holds exactly one
    return _from_vault(ref.vault, env)


def _usable(value: str, empty: str) -> Secret:
    value = value.strip()
    if not value:
        raise KeyUnresolved(empty)
    if _HEADER_SAFE.fullmatch(value) is None:
        raise KeyUnresolved("the key holds characters that can't stand in a header")
    return Secret(value)


def _from_file(path: Path) -> Secret:
    try:
        # O_NONBLOCK: a named pipe must not hang the start.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise KeyUnresolved(f"the key file can't be opened ({error.strerror})") from None
    try:
        # The open file is judged, not the name: it can't be swapped in between.
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise KeyUnresolved("the key file is not a regular file")
        if status.st_mode & 0o077:
            raise KeyUnresolved("the key file can be read by others: chmod 600 it")
        if status.st_uid not in (os.geteuid(), 0):
            raise KeyUnresolved("the key file belongs to another user")
        data = os.read(handle, _KEY_BYTES_MAX + 1)
    finally:
        os.close(handle)
    if len(data) > _KEY_BYTES_MAX:
        raise KeyUnresolved("the key file is too long to hold a key")
    return _usable(data.decode("ascii", "replace"), "the key file is empty")


def _from_vault(ref: VaultRef, env: Mapping[str, str]) -> Secret:
    """GET /v1/{mount}/data/{path} (developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2, "Read secret version")."""
    address, token = env.get("VAULT_ADDR", ""), env.get("VAULT_TOKEN", "")
    if not address or not token:
        raise KeyUnresolved("VAULT_ADDR and VAULT_TOKEN are not both set")
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise KeyUnresolved("VAULT_ADDR is not a URL") from None
    if parts.scheme != "https" and not (parts.scheme == "http" and host in ("127.0.0.1", "::1", "localhost")):
        raise KeyUnresolved("VAULT_ADDR must be https (plain http only to this machine): the token travels in a header")
    headers = {"x-vault-token": token, "x-vault-request": "true"}
    if env.get("VAULT_NAMESPACE"):
        headers["x-vault-namespace"] = env["VAULT_NAMESPACE"]
    url = f"{address.rstrip('/')}/v1/{quote(ref.mount)}/data/{quote(ref.path)}"
    try:
        context = ssl.create_default_context(cafile=env.get("VAULT_CACERT") or None)
        # trust_env off: a proxy variable must not carry the token elsewhere.
        outbound.saw(host or "")
        with httpx2.Client(verify=context, timeout=VAULT_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
            answer = client.get(url, headers=headers)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
        raise KeyUnresolved("the vault could not be reached") from None
    if answer.status_code != 200:
        raise KeyUnresolved(f"the vault answered {answer.status_code}")
    try:
        value = answer.json()["data"]["data"][ref.field]
    except (ValueError, KeyError, TypeError):
        raise KeyUnresolved("the vault's answer has no such field") from None
    if not isinstance(value, str):
        raise KeyUnresolved("the vault's field is not a text")
    return _usable(value, "the vault's field is empty")
