"""The root key (KEK) and what is wrapped under it. Embedded default: one key file, 0600, refused if others may read it.

A wrapped key is an envelope under the KEK (`envelope.py`), bound to the wrapped key's id. Other providers (environment,
AWS KMS, Vault transit) implement the same `Keyring`.
"""

import base64
import json
import os
from pathlib import Path
from typing import Protocol
from uuid import UUID

from governance.errors import ConfigurationError, KeyUnavailable, SealBroken
from governance.ids import uuid7
from governance.vault import envelope
from governance.vault.envelope import Key


class Keyring(Protocol):
    """Wraps and unwraps keys; the root key itself never leaves it."""

    def current(self) -> UUID:
        """Id of the root key that new keys are wrapped under."""

    def wrap(self, key: Key) -> bytes:
        """The key, sealed under the current root key."""

    def unwrap(self, wrapped: bytes, key_id: UUID) -> Key:
        """The key. Raises KeyUnavailable where no root key at hand opens it."""


class FileKeyring:
    """Root keys in a JSON file: `{"current": id, "keys": {id: base64}}`."""

    def __init__(self, path: Path) -> None:
        self._keys, self._current = _read(path)

    @classmethod
    def create(cls, path: Path) -> "FileKeyring":
        """Make the file with a first key, durably, unless it exists already."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        first = uuid7()
        content = {"current": str(first), "keys": {str(first): base64.b64encode(os.urandom(32)).decode()}}
        draft = path.with_name(f".{path.name}.{first}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(handle, json.dumps(content, indent=1).encode())
            os.fsync(handle)
        finally:
            os.close(handle)
        # A link fails where the file exists: two first starts agree on one key, and a crash leaves no half file.
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return cls(path)

    def current(self) -> UUID:
        return self._current

    def wrap(self, key: Key) -> bytes:
        return envelope.seal(self._keys[self._current], key.secret, b"wrap" + key.id.bytes)

    def unwrap(self, wrapped: bytes, key_id: UUID) -> Key:
        root = self._keys.get(envelope.key_id(wrapped))
        if root is None:
            raise KeyUnavailable("A stored key is wrapped under a root key that the key file doesn't hold.")
        try:
            return Key(key_id, envelope.open_envelope(root, wrapped, b"wrap" + key_id.bytes))
        except SealBroken:
            raise KeyUnavailable(
                "A stored key can't be unwrapped: it was altered, or the key file is another one."
            ) from None

    def __repr__(self) -> str:
        return f"<FileKeyring {len(self._keys)} keys ***>"


def _read(path: Path) -> tuple[dict[UUID, Key], UUID]:
    try:
        mode = path.stat().st_mode
        if mode & 0o077:
            raise ConfigurationError(f"The key file may be read by others (mode {mode & 0o777:04o}): chmod 600 it.")
        content = json.loads(path.read_bytes())
        keys = {
            UUID(name): Key(UUID(name), base64.b64decode(text, validate=True)) for name, text in content["keys"].items()
        }
        current = UUID(content["current"])
    except OSError as error:
        raise ConfigurationError(f"The key file can't be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError("The key file isn't a key file of this program.") from None
    if current not in keys or any(len(key.secret) != 32 for key in keys.values()):
        raise ConfigurationError("The key file is incomplete.")
    return keys, current
