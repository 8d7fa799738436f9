"""`find`: personal data in a text."""

from collections.abc import Callable, Iterator
from typing import Final

from governance.personal_data import money
from governance.personal_data.kinds import Found, Kind
from governance.personal_data.own_values import blanked

Search = Callable[[str], list[Found]]
"""What looks for personal data in a text: `find`, or a part of it."""

SCORE_MIN: Final = 0.5
_PIECE: Final = 4_096
_OVERLAP: Final = 256  # longer than anything that is sought, but for a key file


def find(text: str, *, score_min: float = SCORE_MIN) -> list[Found]:
    """What stands in the text, in order and without overlaps; the surest find of a place, and of those the longest.

    A few milliseconds a kilobyte after the first call, which imports Presidio (seconds): for a job, in a thread, never for
    what serves requests. Long texts are looked at piece by piece, so that no pattern meets more than a few kilobytes.
    """
    from governance.personal_data.engine import LANGUAGE, analyzer

    found: set[Found] = set()
    for start, piece in _pieces(text):
        # Secrets are sought in the text as it is: some look like digests.
        for source, kinds in ((piece, _SECRETS), (blanked(piece), _REST)):
            for each in analyzer().analyze(source, LANGUAGE, entities=kinds, score_threshold=score_min):
                found.add(Found(Kind(each.entity_type), start + each.start, start + each.end, float(each.score)))
    return _without_overlaps(found)


def find_cards(text: str) -> list[Found]:
    """Numbers of bank cards alone, without Presidio: cheap enough to look at much."""
    return [Found(Kind.CARD, start, end, score) for start, end, score in money.cards(blanked(text))]


def surest(search: Search, text: str) -> dict[Kind, float]:
    """The score of the surest find of each kind."""
    scores: dict[Kind, float] = {}
    for found in search(text):
        scores[found.kind] = max(found.score, scores.get(found.kind, 0.0))
    return scores


_SECRETS: Final = [Kind.SECRET.value, Kind.URL_USER.value]
_REST: Final = [kind.value for kind in Kind if kind.value not in _SECRETS]


def _without_overlaps(found: set[Found]) -> list[Found]:
    kept: list[Found] = []
    for each in sorted(found, key=lambda each: (-each.score, each.start - each.end, each.start)):
        if all(each.end <= other.start or other.end <= each.start for other in kept):
            kept.append(each)
    return sorted(kept, key=lambda each: each.start)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Each with its start. Cut at white space where there is some; what lies across a cut is whole in the overlap."""
    start = 0
    while True:
        end = start + _PIECE + _OVERLAP
        yield start, text[start:end]
        if end >= len(text):
            return
        cut = start + _PIECE
        space = max(text.rfind(mark, cut - _OVERLAP, cut) for mark in " \n")
        start = space + 1 if space > start else cut
