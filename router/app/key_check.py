"""Once before a service serves, however many processes it has: what a restore or damage did to the keys."""

import structlog

from governance import events
from router.app.stores import opened
from router.settings import Settings

_log = structlog.get_logger("service")


async def check_keys(settings: Settings) -> None:
    """Open the stores, which undoes what a crash or a restore left, and say which keys can't be opened.

    Raises KeyUnavailable where the keyring doesn't open the key store: then nothing can be.
    """
    async with opened(settings) as stores:
        if lost := await stores.keys.unreadable():
            _log.error("stored keys can't be opened: what they seal is unreadable", **lost)
            await events.emit_async("vault:keys:unreadable", lost)
