"""Scratch folders: private, gone at the end, swept after a kill."""

from pathlib import Path

from governance.backup.scratch import scratch


def test_a_folder_lives_for_one_command_and_sweeps_those_of_dead_ones(tmp_path: Path) -> None:
    (tmp_path / "backup-dead").mkdir()
    (tmp_path / "backup-dead" / "keys").write_text("left behind")
    with scratch(tmp_path) as first, scratch(tmp_path) as second:
        assert first.stat().st_mode & 0o777 == 0o700
        assert {path.name for path in tmp_path.iterdir()} == {first.name, second.name}
    assert list(tmp_path.iterdir()) == []
