"""Folders of supervisors: one's start clears away those of the dead, and no other."""

import os
from pathlib import Path

from router.app import figures


def test_a_folder_is_cleared_away_once_nobody_holds_it(tmp_path: Path) -> None:
    one, held = figures.begin(tmp_path)
    worker = os.dup(held)  # as a worker inherits it
    (one / "counter_1.db").touch()
    two, other = figures.begin(tmp_path)
    os.close(held)
    figures.begin(tmp_path)
    assert one != two and (one / "counter_1.db").exists() and two.stat().st_mode & 0o777 == 0o700
    os.close(worker)
    os.close(other)
    four, _ = figures.begin(tmp_path)
    assert not one.exists() and not two.exists() and four.exists()


def test_they_are_named_before_they_are_made(tmp_path: Path) -> None:
    assert [folder.relative_to(tmp_path) for folder in figures.folders(tmp_path)] == [Path("metrics")]
    own, _ = figures.begin(tmp_path)
    assert figures.folders(tmp_path) == [tmp_path / "metrics", own]
