"""Opens the service for the server's start, and says why it couldn't be."""

import sys

from governance.errors import ValueAPIError
from router.app.service import Service
from router.settings import Settings


async def begin(settings: Settings) -> Service | None:
    """None where it can't be opened: the sentence that says what to mend is on standard error then."""
    try:
        return await Service.open(settings)
    except ValueAPIError as error:
        print(error, file=sys.stderr, flush=True)  # noqa: T201  the sentence that start-up stops with
        return None
