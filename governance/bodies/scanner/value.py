"""What a format's reader hands over: bytes that a search of the file alone would not see, or not see as one value."""

from dataclasses import dataclass
from enum import Enum, auto


class Seen(Enum):
    """How the search of the file's own bytes saw them."""

    WHOLE = auto()  # they lie there in one piece: only what has no head of its own may be hidden in them
    NOT = auto()  # put together or decompressed by the reader
    SOMEWHERE_WITHIN = auto()  # one piece, and a value may begin at any of its first bytes


@dataclass(frozen=True, slots=True)
class Value:
    """Bytes, what they were ("SQLite row"), and where in the file they or their page begin."""

    form: str
    offset: int
    data: bytes
    seen: Seen
