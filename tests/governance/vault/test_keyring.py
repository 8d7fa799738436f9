"""The root key file."""

from pathlib import Path

import pytest

from governance.errors import ConfigurationError, KeyUnavailable
from governance.ids import uuid7
from governance.vault.envelope import Key
from governance.vault.keyring import FileKeyring


def test_a_key_file_is_made_once_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "root.key"
    key = Key(uuid7(), b"k" * 32)
    wrapped = FileKeyring.create(path).wrap(key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert FileKeyring.create(path).unwrap(wrapped, key.id) == key
    assert [entry.name for entry in path.parent.iterdir()] == ["root.key"]


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "root.key"
    FileKeyring.create(path)
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="may be read by others"):
        FileKeyring(path)


@pytest.mark.parametrize("content", ["", "{}", '{"current": "x", "keys": {}}', "[]", '{"keys": [], "current": 1}'])
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "root.key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError):
        FileKeyring(path)


def test_another_root_key_opens_nothing(tmp_path: Path) -> None:
    key = Key(uuid7(), b"k" * 32)
    wrapped = FileKeyring.create(tmp_path / "a").wrap(key)
    other = FileKeyring.create(tmp_path / "b")
    with pytest.raises(KeyUnavailable, match="doesn't hold"):
        other.unwrap(wrapped, key.id)
    with pytest.raises(KeyUnavailable, match="altered"):
        FileKeyring(tmp_path / "a").unwrap(wrapped, uuid7())


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        FileKeyring(tmp_path / "none")
