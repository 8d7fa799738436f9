"""What one request used: a value that the relay returns, and the only thing that billing hears of a request.

Its fields are those that section 2 of the privacy policy lists (model, token counts, timestamps, IP address, user
agent), with what billing needs beside them, and nothing of the request's content.
"""

from dataclasses import dataclass
from uuid import UUID

OUTCOMES = frozenset(("completed", "cut", "cancelled", "failed"))
_NUMBER_MAX = 2**62
_AT_MS_MAX = 253_402_300_800_000  # the year 10000


@dataclass(frozen=True, slots=True, repr=False)
class MeterEvent:
    """One request's usage. Times are Unix milliseconds or milliseconds; the charge is in micro-credits, rounded once.

    Raises ValueError, naming the field, for a number or an outcome that no database takes: it would stop the commit of
    every record behind it.
    """

    request_id: UUID
    account_id: UUID
    subject_id: UUID | None
    api_key_id: UUID
    at_ms: int
    endpoint: str
    model: str
    provider: str
    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    estimated: bool
    charge_microcredits: int
    latency_ms: int
    first_byte_ms: int | None
    status: int
    outcome: str
    ip: str | None
    user_agent: str | None

    def __post_init__(self) -> None:
        for name, value, limit in (
            ("at_ms", self.at_ms, _AT_MS_MAX),
            ("input_tokens", self.input_tokens, _NUMBER_MAX),
            ("cached_input_tokens", self.cached_input_tokens, _NUMBER_MAX),
            ("cache_write_tokens", self.cache_write_tokens, _NUMBER_MAX),
            ("output_tokens", self.output_tokens, _NUMBER_MAX),
            ("charge_microcredits", self.charge_microcredits, _NUMBER_MAX),
            ("latency_ms", self.latency_ms, _NUMBER_MAX),
            ("first_byte_ms", self.first_byte_ms or 0, _NUMBER_MAX),
            ("status", self.status, 1000),
        ):
            if type(value) is not int or not 0 <= value < limit:
                raise ValueError(f"{name} of a meter event is a whole number from 0 to {limit - 1}")
        if self.outcome not in OUTCOMES:
            raise ValueError("a meter event's outcome is completed, cut, cancelled or failed")

    def texts(self) -> list[str]:
        """Every field that is a text."""
        return [text for text in (self.endpoint, self.model, self.provider, self.ip, self.user_agent) if text]

    def __repr__(self) -> str:
        return f"<MeterEvent {self.request_id} ***>"
