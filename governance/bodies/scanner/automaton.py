"""Finds needles in a run of bytes: an Aho-Corasick automaton over anchors, and a comparison around each hit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ahocorasick_rs import BytesAhoCorasick

from governance.bodies.scanner.needles import FOLDED_MIN, MATCHED_MIN, Needle, Spelling, fold, spellings


@dataclass(frozen=True, slots=True)
class Match:
    """Where in the folded bytes a needle's bytes begin, how they are written, and how many of them there are."""

    needle: int
    form: str
    folded_offset: int
    matched: int


class Automaton:
    """Built once for all needles; searching doesn't change it."""

    def __init__(self, needles: Sequence[Needle]) -> None:
        places: dict[bytes, list[tuple[Spelling, int]]] = {}
        for number, needle in enumerate(needles):
            for spelling in spellings(number, needle.value):
                for start in spelling.anchors():
                    places.setdefault(spelling.anchor(start), []).append((spelling, start))
        self._places = list(places.values())
        self._automaton = BytesAhoCorasick(list(places)) if places else None

    def search(self, data: bytes) -> Iterator[Match]:
        """Every occurrence of at least 16 bytes of a needle in a row."""
        if self._automaton is None:
            return
        folded = fold(data)
        seen: dict[Spelling, int] = {}  # until where each spelling was compared already
        for pattern, start, end in self._automaton.find_matches_as_indexes(folded, overlapping=True):
            for spelling, at in self._places[pattern]:
                if seen.get(spelling, 0) >= end:
                    continue
                before = _common_suffix(spelling.folded[:at], folded[max(0, start - at) : start])
                after = _common_prefix(spelling.folded[at:], folded[start : start + len(spelling.folded) - at])
                seen[spelling] = start + after
                matched = spelling.span(at - before, at + after)
                if matched >= MATCHED_MIN and before + after >= FOLDED_MIN:
                    yield Match(spelling.needle, spelling.form, start - before, matched)


def _common_prefix(one: bytes, other: bytes) -> int:
    length = min(len(one), len(other))
    differ = int.from_bytes(one[:length], "little") ^ int.from_bytes(other[:length], "little")
    return ((differ & -differ).bit_length() - 1) // 8 if differ else length


def _common_suffix(one: bytes, other: bytes) -> int:
    length = min(len(one), len(other))
    if not length:
        return 0
    differ = int.from_bytes(one[-length:], "big") ^ int.from_bytes(other[-length:], "big")
    return ((differ & -differ).bit_length() - 1) // 8 if differ else length
