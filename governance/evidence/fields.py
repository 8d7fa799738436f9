"""What a field of an entry may hold. There is no kind for text: an entry can't be erased once its leaf is published.

A field takes a value and gives what stands in the entry's JSON. Raises DeclarationError, which never shows the value.
"""

import re
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from governance.errors import DeclarationError

Field = Callable[[Any], Any]
COUNT_MAX = 2**53 - 1  # what JSON readers keep exactly, RFC 8259 section 6
RANGES_MAX = 1000
_HEX = re.compile("[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._/-]{0,63}")
_names: dict[str, set[str]] = {}


def _refuse(what: str) -> DeclarationError:
    return DeclarationError(f"A field of an entry takes {what}.")


def count(value: Any) -> int:
    """A number of something, or a position."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
        raise _refuse("a count")
    return value


def flag(value: Any) -> bool:
    """Yes or no."""
    if not isinstance(value, bool):
        raise _refuse("yes or no")
    return value


def identifier(value: Any) -> str:
    """A random id of ours."""
    if not isinstance(value, UUID):
        raise _refuse("an id")
    return str(value)


def digest(value: Any) -> str:
    """SHA-256, 32 bytes or their hex: of something that can't be guessed."""
    text = value.hex() if isinstance(value, bytes) else value
    if not isinstance(text, str) or not _HEX.fullmatch(text):
        raise _refuse("a SHA-256")
    return text


def moment(value: Any) -> str:
    """An aware time, to the second (RFC 3339); empty where there is none."""
    if value is None:
        return ""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise _refuse("an aware time")
    return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def ranges(value: Any) -> list[list[int]]:
    """Positions, as pairs of a first one and the one after the last."""
    if not isinstance(value, list | tuple) or any(
        not isinstance(each, list | tuple) or len(each) != 2 for each in value
    ):
        raise _refuse("ranges of positions")
    found = [[count(first), count(end)] for first, end in value]
    if len(found) > RANGES_MAX or any(first >= end for first, end in found):
        raise _refuse("ranges of positions")
    return found


def one_of(kinds: type[StrEnum] | Collection[str]) -> Field:
    """A word of a list that stands in the code."""
    allowed = frozenset(str(each) for each in kinds)

    def choice(value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise _refuse("a word of its list")
        return str(value)

    return choice


def named(kind: str) -> Field:
    """A name that the code declared of that kind (`declare_names`) before anything was recorded."""

    def name(value: Any) -> str:
        if not isinstance(value, str) or value not in _names.get(kind, ()):
            raise _refuse(f"a declared name of a {kind}")
        return str(value)

    return name


def names(kind: str) -> Field:
    """A list of declared names."""
    one = named(kind)

    def several(value: Any) -> list[str]:
        if not isinstance(value, list | tuple) or len(value) > RANGES_MAX:
            raise _refuse(f"declared names of a {kind}")
        return [one(each) for each in value]

    return several


def declare_names(kind: str, names: Collection[str]) -> None:
    """Names of controls, rules, reports, settings, policy versions, their sentences and documents: from code or shipped
    files, never from input."""
    for each in names:
        if not _NAME.fullmatch(each):
            raise DeclarationError(f"A name of a {kind} is lower case, digits and . _ / -, 64 characters at most.")
    _names.setdefault(kind, set()).update(names)
