"""Row ids, made by the program before sealing: UUIDv7 (RFC 9562 section 5.7), so that they sort by time."""

import os
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from uuid import UUID

NIL = UUID(int=0)


def uuid7() -> UUID:
    """48 bits of Unix milliseconds, then 74 random bits."""
    milliseconds = time.time_ns() // 1_000_000
    random = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (2**48 - 1)) << 80 | random
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return UUID(int=value)


def in_lists(ids: Iterable[UUID], size: int = 10_000) -> Iterator[list[UUID]]:
    """In lists that one statement takes."""
    left = iter(ids)
    while some := list(islice(left, size)):
        yield some
