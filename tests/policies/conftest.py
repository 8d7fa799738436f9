"""A version of a document as a folder, made of what ships, with what a test changes."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from policies.retention import IN_FORCE
from policies.version import TEXT

Made = Callable[..., Path]


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """`made(version, changes, series)`: words replaced in the text and, where they are quoted, in the promises."""

    def make(version: str = "2027-01", changes: dict[str, str] | None = None, series: str = "privacy") -> Path:
        folder = tmp_path / series / version
        shutil.copytree(IN_FORCE, folder)
        for name in (TEXT, "promises.yaml"):
            text = (folder / name).read_text().replace("version: 2026-03", f"version: {version}")
            text = text.replace("effective: 2026-03-01", f"effective: {version}-01")
            for old, new in (changes or {}).items():
                assert name != TEXT or old in text
                text = text.replace(old, new)
            (folder / name).write_text(text)
        if series != "privacy":
            for name in ("promises.yaml", "retention.yaml", "recipients.yaml", "collection.yaml"):
                (folder / name).unlink()
        return folder

    return make
