"""Unguessable texts to look for, each named by where it was put.

A canary is plain lower-case ASCII, so that it is valid wherever a text may stand: a model or header name, a path, a host.
It carries the tag of its case, which is how the hostile upstream knows, behind any gateway, how to misbehave.
"""

import re
import secrets
import string
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

_PREFIX = "vap"
_ALPHABET = string.ascii_lowercase + string.digits
_TAG_CHARS = 4
RANDOM_CHARS = 48  # 248 bits; any 16 bytes of a canary hold at least nine of them
CHARS = len(_PREFIX) + _TAG_CHARS + RANDOM_CHARS
PATTERN = re.compile(rb"vap([0-9a-z]{4})[0-9a-z]{48}")


class Direction(StrEnum):
    """What a canary stands for."""

    PROMPT = "prompt"  # content that the caller sent
    COMPLETION = "completion"  # content that the upstream sent
    METADATA = "metadata"  # heads, paths and queries: personal data that may rest sealed, never in clear
    CREDENTIAL = "credential"  # where a key or token belongs


@dataclass(frozen=True, slots=True)
class Canary:
    """`name` is `case/direction/field`; `value` is kept out of every text that the probe prints."""

    name: str
    direction: Direction
    value: str = field(repr=False)


class Marks:
    """The canaries of one case, made as they are asked for."""

    def __init__(self, case: str, number: int) -> None:
        self.case = case
        self.tag = _base36(number)
        self._made: dict[tuple[Direction, str], Canary] = {}

    def __iter__(self) -> Iterator[Canary]:
        return iter(self._made.values())

    def prompt(self, at: str) -> str:
        return self.mark(Direction.PROMPT, at)

    def completion(self, at: str = "text") -> str:
        return self.mark(Direction.COMPLETION, at)

    def metadata(self, at: str) -> str:
        return self.mark(Direction.METADATA, at)

    def credential(self, at: str) -> str:
        return self.mark(Direction.CREDENTIAL, at)

    def mark(self, direction: Direction, at: str) -> str:
        """The canary of this place; the same each time."""
        key = (direction, at)
        if key not in self._made:
            random = "".join(secrets.choice(_ALPHABET) for _ in range(RANDOM_CHARS))
            self._made[key] = Canary(f"{self.case}/{direction}/{at}", direction, f"{_PREFIX}{self.tag}{random}")
        return self._made[key].value


def tags(data: bytes) -> Iterator[str]:
    """Tags of the canaries in these bytes, in their order."""
    return (found[1].decode() for found in PATTERN.finditer(data))


def _base36(number: int) -> str:
    digits = ""
    for _ in range(_TAG_CHARS):
        number, digit = divmod(number, 36)
        digits = (string.digits + string.ascii_lowercase)[digit] + digits
    if number:
        raise ValueError("more cases than tags")
    return digits
