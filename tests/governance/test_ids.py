"""UUIDv7: version, variant, order, and no two alike."""

import time

from governance.ids import uuid7


def test_it_is_a_version_7_uuid_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid7()
    assert made.version == 7 and made.variant == "specified in RFC 4122"
    assert before <= made.int >> 80 <= time.time_ns() // 1_000_000


def test_ten_thousand_differ() -> None:
    assert len({uuid7() for _ in range(10_000)}) == 10_000
