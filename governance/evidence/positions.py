"""Positions in the log, many at once."""

from collections.abc import Iterable, Iterator


def ranges(positions: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending positions as ranges: first, and the one after the last."""
    first = end = -1
    for each in positions:
        if each != end:
            if first >= 0:
                yield first, end
            first = each
        end = each + 1
    if first >= 0:
        yield first, end
