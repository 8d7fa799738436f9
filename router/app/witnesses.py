"""The witnesses of the transparency log that the settings name."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from urllib.parse import urlsplit

from governance.errors import ConfigurationError, Rejected
from governance.evidence import folder, witness
from governance.evidence.folder import LogFolder
from governance.evidence.note import COSIGNATURE, NoteKey
from governance.mail import checkpoint
from router.app import mail
from router.settings import Settings


def of(settings: Settings) -> dict[str, Callable[[], Awaitable[object]]]:
    """What shows the newest checkpoint to each, by a name without an address.

    Raises ConfigurationError where a witness has no address or no verifier key.
    """
    log = LogFolder(settings.log_folder / folder.NAME)
    found: dict[str, Callable[[], Awaitable[object]]] = {}
    for number, path in enumerate(settings.witness_folders, 1):
        found[f"Witness folder {number}"] = partial(asyncio.to_thread, witness.to_folder, log, path)
    for text in settings.witnesses:
        url, key = _asked(text)
        found[f"Witness {key.name}"] = partial(witness.ask, log, url, key)
    for number, address in enumerate(settings.witness_mail, 1):
        found[f"Witness mail address {number}"] = partial(_mail, settings, log, address)
    return found


def _asked(text: str) -> tuple[str, NoteKey]:
    url, _, key = text.partition(" ")
    address = urlsplit(url)
    try:
        parsed = NoteKey.parse(key)
    except Rejected:
        parsed = None
    if address.scheme not in ("https", "http") or not address.hostname or parsed is None or parsed.kind != COSIGNATURE:
        raise ConfigurationError(
            "Setting VALUEAPI_WITNESSES: each is a submission prefix, a blank, and the witness's verifier key."
        )
    return url, parsed


async def _mail(settings: Settings, log: LogFolder, address: str) -> None:
    sender = mail.sender(settings)
    if sender is None:
        raise Rejected("No sender of mails is set.")
    async with aclosing(sender):
        await checkpoint.send(log, address, sender)
