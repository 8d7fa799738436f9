"""Every field of 1,000 random entries of a log, changed one after the other where it rests and in a bundle: each is found,
at its place. Some of them, without BATTERY."""

import os
import random
from pathlib import Path

import pytest

from tests.governance.evidence.made import Made, make
from tests.governance.evidence.test_verify import bundled, check_bundles, check_files, check_rows_near

SIZE = 1300
ENTRIES = 1000 if os.environ.get("BATTERY") else 1
CHOSEN = random.Random().sample(range(SIZE), ENTRIES)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("log"), *[100] * 13)


@pytest.mark.timeout(7200)
def test_every_field_of_random_entries(log: Made, tmp_path: Path) -> None:
    leaves = dict(log.folder.tiles.between(0, SIZE, SIZE))
    for at in CHOSEN:
        check_rows_near(log, leaves, at)
        check_files(log, at)
        data = bundled(log, tmp_path, since=at - at % 100, given=slice(max(at - 3, 0), at + 3))
        check_bundles(data, at)
