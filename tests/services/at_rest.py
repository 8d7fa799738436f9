"""Searches every byte under folders for needles. Knows nothing of the program: it trusts files alone."""

import base64
from collections.abc import Iterable
from pathlib import Path


def forms(needle: str) -> set[bytes]:
    """A text as it may rest: UTF-8, UTF-16, hex, base64 at each alignment."""
    plain = needle.encode()
    found = {plain, needle.encode("utf-16-le"), plain.hex().encode(), plain.hex().upper().encode()}
    for shift in range(3):
        # The first and last characters of a base64 text depend on what stands around it.
        encoded = base64.b64encode(b"\0" * shift + plain)
        found.add(encoded[4 if shift else 0 : len(encoded) // 4 * 4 - 4])
    return {form for form in found if len(form) >= 8}


def holding(
    folders: Iterable[Path], needles: Iterable[str], *, but: frozenset[str] = frozenset()
) -> dict[str, list[str]]:
    """Which files hold which needle in any form: `{needle: [file, …]}`, empty where none does."""
    wanted = {needle: forms(needle) for needle in needles}
    found: dict[str, list[str]] = {}
    for folder in folders:
        for file in folder.rglob("*") if folder.is_dir() else [folder]:
            if not file.is_file() or file.name in but:
                continue
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # a journal segment that was committed meanwhile
                continue
            for needle, spellings in wanted.items():
                if any(spelling in data for spelling in spellings):
                    found.setdefault(needle, []).append(str(file))
    return found
