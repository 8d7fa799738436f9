"""A request's id, in the one form that callers see."""

from dataclasses import dataclass, field
from uuid import UUID

from governance.ids import uuid7


@dataclass(frozen=True, slots=True)
class RequestName:
    """A new UUIDv7, and its text as `x-request-id` shows it: `req_` and 32 hex digits."""

    id: UUID = field(default_factory=uuid7)

    @property
    def text(self) -> str:
        return f"req_{self.id.hex}"

    @property
    def tag(self) -> str:
        """What the request's bodies show of it: the last eight digits, all random, of what `text` shows."""
        return self.id.hex[-8:]
