"""A version's folder is whole, named as its front matter says, and has a digest that anybody computes with coreutils."""

import subprocess
from pathlib import Path

import pytest

from governance.errors import ConfigurationError
from policies import version
from policies.retention import IN_FORCE
from tests.policies.conftest import Made


def test_the_version_that_ships_has_the_words_of_the_policy() -> None:
    found = version.read(IN_FORCE)
    assert (found.name, found.effective.isoformat(), found.material) == ("privacy/2026-03", "2026-03-01", True)
    texts = [sentence.text for section in found.sections for sentence in section.sentences]
    assert "Last updated: March 2026" in texts
    assert any(text.startswith("We do NOT store the content of your API requests (prompts)") for text in texts)
    items = [block for section in found.sections for block in section.blocks if block.item]
    assert len(items) > 10 and items[0].sentences[0].text.startswith("Personal Identification Information")


def test_the_digest_is_what_coreutils_say() -> None:
    command = "sha256sum * | sha256sum"
    told = subprocess.run(["bash", "-c", command], cwd=IN_FORCE, capture_output=True, text=True, check=True)
    assert told.stdout.split()[0] == version.read(IN_FORCE).digest


def test_any_byte_of_any_file_changes_the_digest(made: Made) -> None:
    folder = made()
    before = version.read(folder).digest
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        path.write_bytes(data + b"\n")
        assert version.read(folder).digest != before
        path.write_bytes(data)
    assert version.read(folder).digest == before


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "promises.yaml").unlink(), "is missing"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "doesn't belong there"),
        (lambda folder: (folder / "policy.md").write_text("no front matter"), "front matter"),
        (lambda folder: (folder / "policy.md").write_bytes(b"---\nversion: \xff\n---\n"), "can't be read"),
        (lambda folder: (folder / "policy.md").write_text("---\n[\n---\n"), "can't be read"),
        (lambda folder: folder.rename(folder.with_name("2027-02")), "another version"),
        (lambda folder: folder.rename(folder.with_name("latest")), "named by year and month"),
        (lambda folder: (folder / "retention.yaml").write_bytes(b"#" * 2**21), "more than"),
        (lambda folder: folder.parent.rename(folder.parent.with_name("imprint")), "one of its series"),
    ],
)
def test_a_folder_that_isnt_one_is_refused(made: Made, spoil: object, said: str) -> None:
    folder = made()
    spoil(folder)  # type: ignore[operator]
    [left] = [path for series in folder.parents[1].iterdir() for path in series.iterdir()]
    with pytest.raises(ConfigurationError, match=said):
        version.read(left)


def test_a_folder_that_isnt_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="can't be read"):
        version.read(tmp_path / "privacy" / "2026-03")
