"""A restore has a home alone."""

import os
from pathlib import Path

import pytest

from governance.backup import in_use
from governance.errors import Conflict


def test_users_share_and_a_restore_excludes(tmp_path: Path) -> None:
    first, second = in_use.share(tmp_path), in_use.share(tmp_path)
    with pytest.raises(Conflict, match="stop it first"):
        in_use.alone(tmp_path)
    os.close(first)
    os.close(second)
    lock = in_use.alone(tmp_path)
    with pytest.raises(Conflict, match="restore is running"):
        in_use.share(tmp_path)
    os.close(lock)
    os.close(in_use.share(tmp_path))
