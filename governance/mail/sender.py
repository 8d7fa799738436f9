"""What the outbox asks of a sender, and how a sender says that it failed."""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from governance.errors import ValueAPIError


@dataclass(frozen=True, slots=True, repr=False)
class Mail:
    """An opened mail. Prints as its id alone."""

    id: UUID
    to: str
    subject: str
    text: str

    def __repr__(self) -> str:
        return f"<Mail {self.id} ***>"


class SendFailed(ValueAPIError):
    """The mail wasn't accepted. `failure` is a short code of ours (`status-429`, `network`), never the other's text.

    `permanent`: this mail will never be accepted. `ours`: it says nothing about the mail (wrong key, unknown domain),
    so the attempt isn't counted and the rest of the batch waits too. `retry_after_s`: what the other side asked for.
    """

    def __init__(
        self, failure: str, *, permanent: bool = False, ours: bool = False, retry_after_s: int | None = None
    ) -> None:
        super().__init__(f"The mail was not sent: {failure}.")
        self.failure = failure
        self.permanent = permanent
        self.ours = ours
        self.retry_after_s = retry_after_s


class MailSender(Protocol):
    """Hands one mail over. A mail with the same id always carries the same Message-Id."""

    async def send(self, mail: Mail) -> None:
        """Returns when the other side has taken it. Raises SendFailed."""
