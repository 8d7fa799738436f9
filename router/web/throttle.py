"""Limits on guessing: how often an address, and an account, may be tried. Cells hold keyed hashes, never an address."""

from math import ceil

from starlette.requests import Request

from governance.errors import Rejected
from governance.vault.blind_index import normalise_email
from router.errors import RateLimited
from router.gateway.ratelimit import Want, cell_key
from router.web.context import client_network, web


async def sign_in(request: Request, email: str) -> None:
    """Before a password is looked at. Raises RateLimited."""
    await _take(request, "sign-in", web(request).settings.sign_in_attempts_per_minute, _email(email))


async def sign_up(request: Request, email: str) -> None:
    """Before a sign-up or a password reset sends a mail. Raises RateLimited."""
    await _take(request, "sign-up", web(request).settings.sign_up_attempts_per_minute, _email(email))


async def token(request: Request) -> None:
    """Before a token from a mail is tried. Raises RateLimited."""
    await _take(request, "one-time-token", web(request).settings.sign_in_attempts_per_minute, None)


async def password(request: Request, subject: bytes) -> None:
    """Before a signed-in person's present password is tried. Raises RateLimited."""
    await _take(request, "password", web(request).settings.sign_in_attempts_per_minute, subject)


def _email(address: str) -> bytes:
    try:
        return normalise_email(address).encode()
    except Rejected:
        # No account has it, but an attempt is an attempt.
        return address.strip().casefold().encode()


async def _take(request: Request, what: str, per_minute: int, who: bytes | None) -> None:
    context = web(request)
    cells = [cell_key(context.cell_secret, f"{what}-address", client_network(request))]
    if who is not None:
        cells.append(cell_key(context.cell_secret, f"{what}-account", who))
    verdict = await context.limiter.take([Want(cell, per_minute, 1, "requests") for cell in cells])
    if not verdict.allowed:
        raise RateLimited(
            "Too many attempts. Please wait a moment and try again.", retry_after_s=max(1, ceil(verdict.retry_after_s))
        )
