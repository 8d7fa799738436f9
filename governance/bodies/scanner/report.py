"""What a search says: where a needle is, and what could not be read. Neither holds any of a needle's text."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Finding:
    """A needle, or 16 bytes of it in a row, at a place."""

    needle: str  # its name
    place: str
    offset: int | None  # bytes from the place's start to the outermost form's; None where the place has no offsets
    form: str  # outermost first: "gzip > base64 > text"
    matched: int  # bytes of the needle seen in a row, at least 16


@dataclass(frozen=True, slots=True)
class Unread:
    """An honest gap: what could not be read, or not decoded to its end."""

    place: str
    why: str


@dataclass(slots=True)
class Report:
    """All of one search. `bytes_read` counts what was read, before anything was decompressed."""

    findings: list[Finding] = field(default_factory=list)
    unread: list[Unread] = field(default_factory=list)
    bytes_read: int = 0
    files: int = 0
    seconds: float = 0.0
