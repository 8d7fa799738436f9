"""`retention.yaml` is read strictly."""

from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from policies import retention

GOOD = """rules:
  - {id: usage, title: t, starts: row_created, period: P90D, action: delete, basis: b, source: s, owner: o}
"""


def write(folder: Path, text: str) -> Path:
    (folder / "retention.yaml").write_text(text)
    return folder


def test_the_version_in_force_loads_and_keeps_usage_logs_for_a_limited_period() -> None:
    rules = retention.load().rules
    assert rules["usage"].period == "P90D"
    assert rules["usage"].action == "aggregate_then_delete"


def test_a_good_file_loads(tmp_path: Path) -> None:
    assert list(retention.load(write(tmp_path, GOOD)).rules) == ["usage"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("P90D", "90 days", "rules.0.period"),
        ("P90D", "P", "rules.0.period"),
        ("action: delete", "action: forget", "rules.0.action"),
        ("owner: o", "owner: o, forever: true", "rules.0.forever"),
        (GOOD, GOOD + GOOD.split("\n")[1] + "\n", "stands twice"),
        (GOOD, "rules: [", "can't be read"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, old: str, new: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        retention.load(write(tmp_path, GOOD.replace(old, new)))
