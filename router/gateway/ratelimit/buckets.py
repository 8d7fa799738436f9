"""Buckets as values: what is wanted, what was decided, and the arithmetic between. Pure."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from router.gateway.shared import KEY_BYTES

Kind = Literal["requests", "tokens"]

MINUTE_NS: Final = 60_000_000_000
DEBT_MAX_NS: Final = 366 * 24 * 60 * MINUTE_NS
KIND_NUMBER: Final[dict[Kind, int]] = {"requests": 0, "tokens": 1}
SETTLED: Final = "tokens"


@dataclass(frozen=True, slots=True)
class Want:
    """`cost` units of one bucket. `key` is a `cell_key`; `limit_per_minute` 0 refuses everything."""

    key: bytes
    limit_per_minute: int
    cost: int
    kind: Kind

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES or self.limit_per_minute < 0 or self.cost < 0:
            raise ValueError("a want needs a 16-byte key, a limit and a cost of at least 0")

    @property
    def too_large(self) -> bool:
        """Whether even a full bucket holds too little."""
        return self.limit_per_minute == 0 or self.cost > self.limit_per_minute


@dataclass(frozen=True, slots=True)
class Window:
    """A bucket as headers show it: `remaining` units now, full again in `reset_s` seconds."""

    limit: int
    remaining: int
    reset_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """Outcome of `take`. Per kind the bucket with the least left is shown.

    `retry_after_s` is 0 when allowed. `too_large`: the cost exceeds a whole bucket, so waiting won't help.
    """

    allowed: bool
    retry_after_s: float
    requests: Window | None
    tokens: Window | None
    too_large: bool = False
    degraded: bool = False


class RateLimiter(Protocol):
    """Takes from buckets, all or nothing."""

    async def take(self, wanted: Sequence[Want]) -> Verdict:
        """Take every want, or none when one doesn't fit. Never raises for a counter that is away: see the module."""

    async def settle(self, wanted: Sequence[Want], actual_cost: int) -> None:
        """Replace the estimate in the `tokens` wants of an allowed `take` by `actual_cost` (0 when nothing was served).

        Call it once per allowed take; `requests` wants stay as they are.
        """


def cell_key(secret: bytes, kind: str, ident: bytes) -> bytes:
    """16-byte keyed hash (BLAKE2b, RFC 7693) of what is limited, so that no id and no address rests in a counter.

    Raises `ValueError` when the secret is shorter than 16 or longer than 64 bytes.
    """
    if not 16 <= len(secret) <= 64:
        raise ValueError("the secret for rate-limit keys must have 16 to 64 bytes")
    return hashlib.blake2b(kind.encode() + b"\0" + ident, digest_size=KEY_BYTES, key=secret).digest()


def step_ns(want: Want, cost: int) -> int:
    """How far `cost` moves the TAT; rounded up, so that rounding never lets more through."""
    return -(-cost * MINUTE_NS // want.limit_per_minute)


def make_verdict(wanted: Sequence[Want], ahead_ns: Sequence[int], waits_ns: Sequence[int]) -> Verdict:
    """`ahead_ns`: each TAT minus now, after the taking; `waits_ns`: how long until each fits, 0 when it does."""
    shown: dict[Kind, Window] = {}
    for want, ahead in zip(wanted, ahead_ns, strict=True):
        left = max(0, (MINUTE_NS - ahead) * want.limit_per_minute // MINUTE_NS)
        window = Window(want.limit_per_minute, left, max(0, ahead) / 1e9)
        if want.kind not in shown or window.remaining < shown[want.kind].remaining:
            shown[want.kind] = window
    too_large = any(want.too_large for want in wanted)
    wait_ns = max(waits_ns, default=0)
    return Verdict(
        allowed=not too_large and wait_ns <= 0,
        retry_after_s=60.0 if too_large else max(0, wait_ns) / 1e9,
        requests=shown.get("requests"),
        tokens=shown.get("tokens"),
        too_large=too_large,
    )


def settled_ns(tat_ns: int, now_ns: int, want: Want, actual_cost: int) -> int:
    """The TAT once the actual cost has replaced the wanted one."""
    moved = step_ns(want, actual_cost) - step_ns(want, want.cost)
    # Never before now: no credit is banked. The debt is carried whole, as far as a cell's 63 bits go.
    return min(max(tat_ns, now_ns) + moved, now_ns + DEBT_MAX_NS) if moved > 0 else max(tat_ns + moved, now_ns)


def take(
    wanted: Sequence[Want], now: int, tats: Sequence[int], store: Callable[[Sequence[Want], Sequence[int]], None]
) -> Verdict:
    """Decide over the buckets' TATs, and `store` the new ones where every want fits."""
    before = [max(tat, now) for tat in tats]
    if any(want.too_large for want in wanted):
        return make_verdict(wanted, [tat - now for tat in before], [0] * len(wanted))
    after = [tat + step_ns(want, want.cost) for want, tat in zip(wanted, before, strict=True)]
    waits = [max(0, tat - now - MINUTE_NS) for tat in after]
    if any(waits):
        return make_verdict(wanted, [tat - now for tat in before], waits)
    store(wanted, after)
    return make_verdict(wanted, [tat - now for tat in after], waits)
