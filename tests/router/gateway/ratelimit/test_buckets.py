"""Keys and wants; the arithmetic is seen in test_limiters, over every limiter."""

import pytest

from router.gateway.ratelimit.buckets import Want, cell_key

SECRET = bytes(range(32))


def test_cell_keys_depend_on_secret_kind_and_identity() -> None:
    keys = {cell_key(s, k, i) for s in (SECRET, SECRET[::-1]) for k in ("a", "ab") for i in (b"x", b"bx")}
    assert len(keys) == 8 and all(len(k) == 16 for k in keys)
    with pytest.raises(ValueError, match="secret"):
        cell_key(b"short", "a", b"x")


@pytest.mark.parametrize("bad", [(b"short", 1, 1), (bytes(16), -1, 1), (bytes(16), 1, -1)])
def test_wants_that_make_no_sense(bad: tuple[bytes, int, int]) -> None:
    with pytest.raises(ValueError, match="16-byte"):
        Want(*bad, "tokens")
