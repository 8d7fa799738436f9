"""Drafts: no name before they are whole, one writer, nothing overwritten."""

import os
from pathlib import Path

import pytest

from governance.backup.draft import draft
from governance.errors import Conflict, Rejected


def test_a_draft_gets_its_name_when_published(tmp_path: Path) -> None:
    final = tmp_path / "a"
    with draft(final) as opened:
        os.write(opened.fd, b"whole")
        assert not final.exists()
        opened.publish()
    assert final.read_bytes() == b"whole" and final.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_unfinished_draft_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), draft(tmp_path / "a") as opened:
        os.write(opened.fd, b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_publishing_overwrites_nothing_and_replacing_does(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("old")
    with draft(final) as opened, pytest.raises(Conflict):
        opened.publish()
    assert final.read_text() == "old"
    with draft(final) as opened:
        os.write(opened.fd, b"new")
        opened.replace()
    assert final.read_text() == "new" and [path.name for path in tmp_path.iterdir()] == ["a"]


def test_two_writers_of_one_file_are_told(tmp_path: Path) -> None:
    with draft(tmp_path / "a") as first:
        with pytest.raises(Conflict), draft(tmp_path / "a"):
            pass
        first.publish()


def test_what_a_killed_writer_left_is_started_anew(tmp_path: Path) -> None:
    final = tmp_path / "a"
    final.write_text("published")
    # As a kill between the two names of a published file leaves it: both are the same bytes.
    os.link(final, tmp_path / ".a.part")
    (tmp_path / ".a.part-wal").write_text("old")
    with draft(final) as opened:
        assert os.fstat(opened.fd).st_size == 0 and not (tmp_path / ".a.part-wal").exists()
    assert final.read_text() == "published"


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="can't be written to"), draft(tmp_path / "none" / "a"):
        pass
