"""The categories that a version states are quoted from its text."""

import shutil
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from policies import collection
from policies.retention import IN_FORCE
from tests.shipped import shipped


def test_the_version_in_force_states_every_category_that_is_stored() -> None:
    stated = collection.load()
    assert {each.declaration.data_category for each in shipped() if each.declaration.personal} <= stated.keys()
    assert [name for name, sentence in stated.items() if sentence is None] == ["user.unique_id.pseudonymous"]


@pytest.mark.parametrize(
    ("text", "changed", "said"),
    [
        ("words: IP addresses", "words: shoe size", r"words for user\.device\.ip_address aren't in 2\.5"),
        ('sentence: "2.4"', 'sentence: "9.9"', r"words for user\.financial aren't in 9\.9"),
        ("user.contact.email", "user.device", "stands twice"),
        ("    why: Random", "    reason: Random", "categories"),
        ("    words: Email address\n", "", "categories"),
        ("category: user.telemetry", "category: system.operations", "categories"),
    ],
)
def test_words_that_the_text_does_not_have_are_refused(tmp_path: Path, text: str, changed: str, said: str) -> None:
    folder = Path(shutil.copytree(IN_FORCE, tmp_path / "2026-03"))
    file = folder / "collection.yaml"
    assert text in file.read_text()
    file.write_text(file.read_text().replace(text, changed, 1))
    with pytest.raises(ConfigurationError, match=said):
        collection.load(folder)
