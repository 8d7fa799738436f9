"""Passwords: the rules, and argon2id (RFC 9106) in threads of its own, so that the event loop never waits for it."""

import asyncio
import secrets
import unicodedata
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from governance.errors import Rejected
from governance.vault.blind_index import normalise_email
from router.errors import Unavailable

CHARACTERS_MIN = 12
CHARACTERS_MAX = 256
NO_PASSWORD = ""
"""Stands for the hash where nobody has chosen a password yet: none is right."""
# Each hash takes 64 MiB and a core for a tenth of a second: two at once, and a bounded queue before them.
_AT_ONCE = 2
_WAITING_MAX = 64


def check_password(password: str, email: str) -> str:
    """The password in its one form (NFKC, as NIST SP 800-63B section 3.1.1.2 advises).

    Raises Rejected where it is too short or long, isn't text, or is the e-mail address.
    """
    normal = unicodedata.normalize("NFKC", password)
    try:
        normal.encode()
    except UnicodeEncodeError:
        raise Rejected("The password holds something that isn't text.", field="password") from None
    if not CHARACTERS_MIN <= len(normal) <= CHARACTERS_MAX:
        raise Rejected(f"The password must have {CHARACTERS_MIN} to {CHARACTERS_MAX} characters.", field="password")
    if normal.casefold().strip() in (email.casefold().strip(), normalise_email(email)):
        raise Rejected("The password must not be the e-mail address.", field="password")
    return normal


class Passwords:
    """Hashes and verifies. One per process; `close` ends its threads."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        # The hash of nobody's password, made under the same parameters: verifying against it takes as long.
        self._dummy = self._hasher.hash(secrets.token_urlsafe(32))

    async def hash(self, password: str) -> str:
        """The encoded argon2id hash, for sealing. Raises Unavailable when too many wait already."""
        return await self._run(password, None)

    async def verify(self, password: str, encoded: str | None) -> bool:
        """Whether it is the password; None (nobody has this address) and NO_PASSWORD take as long and are False.

        Raises Unavailable when too many wait already.
        """
        normal = unicodedata.normalize("NFKC", password[: 4 * CHARACTERS_MAX])
        usable = len(password) <= 4 * CHARACTERS_MAX and normal.encode(errors="replace").decode() == normal
        right = bool(await self._run(normal if usable else "", encoded or self._dummy))
        return right and usable and bool(encoded)

    def outdated(self, encoded: str) -> bool:
        """Whether the hash was made under other parameters than today's."""
        return self._hasher.check_needs_rehash(encoded)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, password: str, encoded: str | None) -> str:
        if self._waiting >= _WAITING_MAX:
            raise Unavailable("Too many sign-ins at once; try again in a moment.", retry_after_s=2)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, password, encoded)
        finally:
            self._waiting -= 1

    def _work(self, password: str, encoded: str | None) -> str:
        if encoded is None:
            return self._hasher.hash(password)
        try:
            return "right" if self._hasher.verify(encoded, password) else ""
        except (Argon2Error, InvalidHashError):
            return ""
