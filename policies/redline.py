"""What changed between two versions of a text: sentence by sentence, and word by word within one that was reworded."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from typing import Final

from policies.version import Version

_WORDS: Final = re.compile(r"\s+|[^\s]+")
_ALIKE: Final = 0.4  # of two sentences: from here on one is a rewording of the other


class Change(StrEnum):
    """What became of a piece of text."""

    SAME = "same"
    ADDED = "added"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of a sentence that share what became of them."""

    change: Change
    text: str


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence or heading. `id`: of the sentence in the newer version, or in the older where it was removed."""

    id: str
    pieces: tuple[Piece, ...]

    @property
    def changed(self) -> bool:
        return any(piece.change is not Change.SAME for piece in self.pieces)


def between(old: Version, new: Version) -> list[Line]:
    """Every sentence of the newer text in order, and those of the older that it hasn't any more in their place."""
    before, after = _lines(old), _lines(new)
    found: list[Line] = []
    matched = SequenceMatcher(None, [text for _, text in before], [text for _, text in after], autojunk=False)
    for tag, i1, i2, j1, j2 in matched.get_opcodes():
        if tag == "equal":
            found += [Line(name, (Piece(Change.SAME, text),)) for name, text in after[j1:j2]]
        else:
            found += _replaced(before[i1:i2], after[j1:j2])
    return found


def _lines(version: Version) -> list[tuple[str, str]]:
    """Headings have the id of their section."""
    found = []
    for section in version.sections:
        if section.title:
            found.append((section.number, f"{section.number}. {section.title}"))
        found += [(sentence.id, sentence.text) for sentence in section.sentences]
    return found


def _replaced(before: Sequence[tuple[str, str]], after: Sequence[tuple[str, str]]) -> Iterator[Line]:
    """Each new sentence beside the old one that it rewords, if there is one; what is left of the old was removed."""
    left = list(before)
    for name, text in after:
        ratios = [SequenceMatcher(None, one.split(), text.split(), autojunk=False).ratio() for _, one in left]
        best = max(range(len(ratios)), key=ratios.__getitem__, default=None)
        if best is None or ratios[best] < _ALIKE:
            yield Line(name, (Piece(Change.ADDED, text),))
            continue
        for gone, one in left[:best]:
            yield Line(gone, (Piece(Change.REMOVED, one),))
        yield Line(name, tuple(_words(left[best][1], text)))
        left = left[best + 1 :]
    for gone, one in left:
        yield Line(gone, (Piece(Change.REMOVED, one),))


def _words(old: str, new: str) -> Iterator[Piece]:
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    for tag, i1, i2, j1, j2 in SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Piece(Change.SAME, "".join(after[j1:j2]))
            continue
        if i2 > i1:
            yield Piece(Change.REMOVED, "".join(before[i1:i2]))
        if j2 > j1:
            yield Piece(Change.ADDED, "".join(after[j1:j2]))
