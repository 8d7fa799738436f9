"""What places are called: searched as any content is, and told without what was found in them."""

import os
from collections.abc import Callable, Sequence
from functools import lru_cache

from governance.bodies.scanner.automaton import Automaton
from governance.bodies.scanner.needles import MATCHED_MIN, Needle
from governance.bodies.scanner.stream import Place, Stream

Found = Callable[[int, str, str, int], None]  # needle, place, form, matched
Hit = tuple[int, str, int]  # needle, form, matched
_KNOWN_MAX = 1 << 14


class Names:
    """Paths and other names of places. `found` is told once of a name, however much lies below it."""

    def __init__(self, needles: Sequence[Needle], automaton: Automaton, found: Found) -> None:
        self._needles = needles
        self._automaton = automaton
        self._found = found
        self.shown = lru_cache(_KNOWN_MAX)(self._shown)

    def _shown(self, name: str) -> str:
        """The name as it may be told: parts between slashes that hold a needle say so instead."""
        if not (hits := self._hits(name)):
            return name
        parts = name.split("/")
        masked = [self._mask(found) if (found := self._hits(part)) else part for part in parts]
        if self._hits("/".join(masked)):  # one goes over a slash
            parts, masked = ["", ""], ["", self._mask(hits)]
        last = max(at for at, part in enumerate(masked) if part != parts[at])
        place = "/".join(masked[: last + 1])
        for needle, form, matched in hits:
            self._found(needle, place, form, matched)
        return "/".join(masked)

    def _mask(self, hits: Sequence[Hit]) -> str:
        return f"[a name that holds {self._needles[hits[0][0]].name}]"

    def _hits(self, name: str) -> list[Hit]:
        data = os.fsencode(name)
        if len(data) < MATCHED_MIN:
            return []
        hits: list[Hit] = []
        place = Place(
            "", self._automaton, lambda needle, _, form, matched: hits.append((needle, form, matched)), _ignored
        )
        stream = Stream(place, forms=("name",), offset=None, whole=False)
        stream.feed(data)
        stream.close()
        return hits


def _ignored(why: str) -> None:
    """A name that looks like a stream that breaks off was read to its end all the same."""
