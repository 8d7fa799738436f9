"""The root key file: who may read it, and what a change leaves on the disk, whenever it is cut short."""

import base64
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from governance.errors import ConfigurationError, KeyUnavailable
from governance.ids import uuid7
from governance.vault.keyring_file import FileKeyring


async def test_a_key_file_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.key"
    key_id = uuid7()
    wrapped = await FileKeyring.create(path).wrap(b"k" * 32, key_id)
    assert path.stat().st_mode & 0o777 == 0o600
    assert await FileKeyring.create(path).unwrap(wrapped, key_id) == b"k" * 32
    assert [entry.name for entry in path.parent.iterdir()] == ["root.key"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    FileKeyring.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        FileKeyring(path)


SHORT = '{"current": "%s", "keys": {"%s": "AAAA"}}' % ((uuid7(),) * 2)


@pytest.mark.parametrize(
    "content", ["", "{}", '{"current": "x", "keys": {}}', "[]", '{"keys": [], "current": 1}', SHORT], ids=range(6)
)
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "root.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        FileKeyring(path)


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        FileKeyring(tmp_path / "none")
    with pytest.raises(ConfigurationError, match="can't be read"):
        FileKeyring(tmp_path / "no folder" / "none")


async def test_a_file_that_goes_away_stops_the_keyring(tmp_path: Path) -> None:
    keyring = FileKeyring.create(tmp_path / "root.key")
    wrapped = await keyring.wrap(b"k" * 32, uuid7())
    (tmp_path / "root.key").unlink()
    with pytest.raises(KeyUnavailable, match="can't be read"):
        await keyring.unwrap(wrapped, uuid7())


def secrets(path: Path) -> dict[UUID, str]:
    return {UUID(name): text for name, text in json.loads(path.read_text())["keys"].items()}


async def test_a_destroyed_key_is_overwritten_where_it_lay(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    keyring = FileKeyring.create(path)
    first = keyring.current
    secret = secrets(path)[first].encode()
    before_rotation, size = path.open("rb"), path.stat().st_size
    await keyring.rotate()
    before_destruction = path.open("rb")
    await keyring.destroy(first)
    for old in (before_rotation, before_destruction):
        with old:
            content = old.read()
        assert len(content) >= size and secret not in content and b"current" not in content
    assert secret not in path.read_bytes() and [entry.name for entry in tmp_path.iterdir()] == ["root.key"]


CHILD = """
import asyncio, os, signal, sys
from pathlib import Path
from uuid import UUID
from governance.vault.keyring_file import FileKeyring

left = int(sys.argv[4])
def counted(call):
    def run(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*arguments, **options)
    return run

path, step = Path(sys.argv[1]), sys.argv[2]
keyring = None if step == "create" else FileKeyring(path)
for name in ("open", "write", "fsync", "link", "close"):
    setattr(os, name, counted(getattr(os, name)))
for name in ("replace", "unlink"):
    setattr(Path, name, counted(getattr(Path, name)))
if keyring is None:
    FileKeyring.create(path)
else:
    asyncio.run(keyring.rotate() if step == "rotate" else keyring.destroy(UUID(sys.argv[3])))
"""


def cut_short(path: Path, step: str, old: UUID, at: int) -> bool:
    """Whether the child was killed before it was done."""
    done = subprocess.run([sys.executable, "-c", CHILD, str(path), step, str(old), str(at)], capture_output=True)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0


@pytest.mark.parametrize("step", ["rotate", "destroy"])
async def test_a_kill_at_any_step_leaves_every_needed_key(tmp_path: Path, step: str) -> None:
    key_id, at = uuid7(), 0
    while True:
        at += 1
        path = tmp_path / str(at) / "root.key"
        keyring = FileKeyring.create(path)
        old = keyring.current
        under_old = await keyring.wrap(b"o" * 32, key_id)
        new = await keyring.rotate()
        under_new = await keyring.wrap(b"n" * 32, key_id)
        known = secrets(path)
        killed = cut_short(path, step, old, at)

        # What the kill left is a whole file with every key that is still needed, before anything mends it.
        found = secrets(path)
        assert new in found and UUID(json.loads(path.read_text())["current"]) in found
        assert await FileKeyring(path).unwrap(under_new, key_id) == b"n" * 32
        # After the next start or change no copy of a key lies anywhere but in the file.
        again = FileKeyring(path)
        if step == "rotate" or old in found:
            assert await again.unwrap(under_old, key_id) == b"o" * 32
        if step == "destroy" and old in found:
            await again.destroy(old)
        elif step == "rotate":
            await again.rotate()
        assert [entry.name for entry in path.parent.iterdir()] == ["root.key"]
        if step == "destroy":
            assert known[old] not in path.read_text()
            with pytest.raises(KeyUnavailable, match="doesn't hold"):
                await again.unwrap(under_old, key_id)
        if not killed:
            break
    assert at > 10  # every call was cut once


async def test_a_kill_while_the_first_key_is_made_leaves_none_or_one(tmp_path: Path) -> None:
    at = 0
    while True:
        at += 1
        path = tmp_path / str(at) / "root.key"
        killed = cut_short(path, "create", uuid7(), at)
        existed = secrets(path) if path.exists() else None
        keyring = FileKeyring.create(path)
        assert existed is None or list(existed) == [keyring.current]
        await keyring.rotate()
        assert [entry.name for entry in path.parent.iterdir()] == ["root.key"]
        if not killed:
            break
    assert at > 5


async def test_what_a_killed_destruction_left_is_overwritten_at_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    keyring = FileKeyring.create(path)
    old = keyring.current
    await keyring.rotate()
    secret = base64.b64decode(secrets(path)[old])
    for at in range(1, 100):
        assert cut_short(path, "destroy", old, at), "the kill never came between the new file and the overwriting"
        if old not in secrets(path):
            break
    left = os.open(path.with_name(".root.key.old"), os.O_RDONLY)
    FileKeyring(path)
    content = os.read(left, 10_000)
    os.close(left)
    assert base64.b64encode(secret) not in content and not path.with_name(".root.key.old").exists()
