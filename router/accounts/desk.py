"""What sign-up, sign-in and password changes work with, and how they answer in even time."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from governance.db import Database
from governance.vault.blind_index import EmailIndex
from governance.vault.keys import KeyStore
from router.accounts.passwords import Passwords
from router.surface import Portal


@dataclass(frozen=True, slots=True)
class Links:
    """Addresses of the portal's pages, as mails print them. `base` is where people reach the service, no slash."""

    base: str

    def confirm(self, token: str) -> str:
        return f"{self.base}{Portal.CONFIRM}?token={token}"

    def reset(self, token: str = "") -> str:
        return f"{self.base}{Portal.PASSWORD_RESET}" + (f"?token={token}" if token else "")

    @property
    def sign_in(self) -> str:
        return f"{self.base}{Portal.SIGN_IN}"

    @property
    def keys(self) -> str:
        return f"{self.base}{Portal.KEYS}"


@dataclass(frozen=True, slots=True)
class Desk:
    """One per process. `answer_seconds`: the least time of an answer that must not tell whether an address is known.

    It has to be longer than the slower of the two paths usually takes: one hash and a few commits.
    """

    db: Database
    keys: KeyStore
    emails: EmailIndex
    passwords: Passwords
    links: Links
    session_hours: int = 12
    answer_seconds: float = 0.5


@asynccontextmanager
async def even_time(seconds: float) -> AsyncIterator[None]:
    """The block takes at least so long, however it ends: its time doesn't tell which path it took."""
    until = time.monotonic() + seconds
    try:
        yield
    finally:
        await asyncio.sleep(max(0.0, until - time.monotonic()))
