"""The embedded default: root keys in one JSON file, 0600, refused if others may read it.

    {"current": id, "keys": {id: base64 of 32 bytes}}

The file is never changed in place: a whole new one takes its name, then the old one's bytes are overwritten where they
lie. So a crash at any moment leaves a complete file under the known name, and destroyed keys leave no copy of ours.
Processes that share the file see a change at their next call.
"""

import asyncio
import base64
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from governance.durable import sync_folder
from governance.errors import ConfigurationError, Conflict, KeyGone, KeyUnavailable
from governance.ids import uuid7
from governance.vault.envelope import Key
from governance.vault.keyring import Destruction, RootState
from governance.vault.root_keys import RootKeys

_Seen = tuple[int, int]


class FileKeyring:
    """Root keys in a file of this machine."""

    name = "file"
    destruction = (
        "The key file is overwritten in place at once. That destroys a key only as far as the medium overwrites: an SSD or "
        "a copy-on-write file system doesn't promise it, and a backup of the key file still holds the key."
    )
    root_lifetime: timedelta | None = timedelta()

    def __init__(self, path: Path) -> None:
        self._path = path
        if _retired(path).exists():
            # A crash cut a change short: finish it by the same code.
            with _locked(path, fcntl.LOCK_EX):
                _clear(path)
        self._seen, self._keys = _load(path)

    @classmethod
    def create(cls, path: Path) -> "FileKeyring":
        """Make the file with a first key, durably, unless it exists already."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        first = uuid7()
        with _locked(path, fcntl.LOCK_EX):
            if not path.exists():
                _clear(path)
                _write_draft(path, RootKeys("key file", {first: Key(first, os.urandom(32))}, first))
                # A link fails where the file exists: whoever wrote it meanwhile, it is never replaced by a first key.
                os.link(_draft(path), path)
                sync_folder(path.parent)
                _clear(path)
        return cls(path)

    @property
    def current(self) -> UUID:
        return self._fresh().current

    async def wrap(self, key: bytes, key_id: UUID) -> bytes:
        return self._fresh().wrap(key, key_id)

    async def unwrap(self, wrapped: bytes, key_id: UUID) -> bytes:
        return self._fresh().unwrap(wrapped, key_id)

    async def root_ids(self) -> dict[UUID, RootState]:
        return self._fresh().states()

    async def rotate(self) -> UUID:
        fresh = uuid7()
        await asyncio.to_thread(
            self._change, lambda old: RootKeys(old.place, {**old.keys, fresh: Key(fresh, os.urandom(32))}, fresh)
        )
        return fresh

    async def destroy(self, root_id: UUID) -> Destruction:
        def without(old: RootKeys) -> RootKeys:
            if root_id == old.current:
                raise Conflict("The current root key can't be destroyed: rotate first.")
            if root_id not in old.keys:
                raise KeyGone("The key file doesn't hold this root key.")
            return RootKeys(old.place, {id_: key for id_, key in old.keys.items() if id_ != root_id}, old.current)

        await asyncio.to_thread(self._change, without)
        return Destruction(None, self.destruction)

    async def aclose(self) -> None:
        """Nothing is open."""

    def _fresh(self) -> RootKeys:
        try:
            if _seen(self._path) != self._seen:
                self._seen, self._keys = _load(self._path)
        except OSError as error:
            raise KeyUnavailable(f"The key file can't be read: {error.strerror}.") from None
        except ConfigurationError as error:
            raise KeyUnavailable(str(error)) from None
        return self._keys

    def _change(self, change: Callable[[RootKeys], RootKeys]) -> None:
        try:
            with _locked(self._path, fcntl.LOCK_EX):
                _clear(self._path)
                keys = change(_read(self._path))
                _write_draft(self._path, keys)
                # A crash here leaves the file as it was, and a draft that the next change overwrites.
                os.link(self._path, _retired(self._path))
                sync_folder(self._path.parent)
                # A crash here: both names are one file, and the next start takes the second name away.
                _draft(self._path).replace(self._path)
                sync_folder(self._path.parent)
                # The new keys count. A crash here leaves the old file under a name that the next start overwrites.
                _clear(self._path)
        except OSError as error:
            raise KeyUnavailable(f"The key file can't be changed: {error.strerror}.") from None

    def __repr__(self) -> str:
        return f"<FileKeyring {len(self._keys.keys)} keys ***>"


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _retired(path: Path) -> Path:
    return path.with_name(f".{path.name}.old")


@contextmanager
def _locked(path: Path, kind: int) -> Iterator[None]:
    """Shared to read, exclusive to change, by the folder: the file itself is replaced."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, kind)
        yield
    finally:
        os.close(folder)


def _clear(path: Path) -> None:
    """Overwrite and remove what isn't the key file itself, under an exclusive lock."""
    for other in (_draft(path), _retired(path)):
        if not other.exists():
            continue
        if not (path.exists() and other.samefile(path)):
            _overwrite(other)
        other.unlink()
        sync_folder(path.parent)


def _overwrite(path: Path) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.write(handle, os.urandom(os.fstat(handle).st_size))
        os.fsync(handle)
    finally:
        os.close(handle)


def _write_draft(path: Path, keys: RootKeys) -> None:
    content = {
        "current": str(keys.current),
        "keys": {str(id_): base64.b64encode(key.secret).decode() for id_, key in keys.keys.items()},
    }
    handle = os.open(_draft(path), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        data = json.dumps(content, indent=1).encode()
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _seen(path: Path) -> _Seen:
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def _load(path: Path) -> tuple[_Seen, RootKeys]:
    try:
        # Locked: while a change runs, an old file that is being overwritten could be read.
        with _locked(path, fcntl.LOCK_SH):
            return _seen(path), _read(path)
    except OSError as error:
        raise ConfigurationError(f"The key file can't be read: {error.strerror}.") from None


def _read(path: Path) -> RootKeys:
    mode = path.stat().st_mode
    if mode & 0o077:
        raise ConfigurationError(f"The key file may be read by others (mode {mode & 0o777:04o}): chmod 600 it.")
    try:
        content = json.loads(path.read_bytes())
        keys = {
            UUID(name): Key(UUID(name), base64.b64decode(text, validate=True)) for name, text in content["keys"].items()
        }
        return RootKeys("key file", keys, UUID(content["current"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ConfigurationError("The key file isn't a complete key file of this program.") from None
