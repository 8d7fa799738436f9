"""The first start: accounts to try the service with in development, and the check that production has none of them."""

import json
import os
from pathlib import Path
from uuid import UUID

from governance.datamap import DataUse
from governance.errors import ConfigurationError
from router.accounts import first_run
from router.accounts.passwords import Passwords
from router.accounts.person import first_passwords
from router.app.stores import Stores, opened
from router.billing import ledger
from router.providers.catalog import Catalog
from router.settings import Settings
from router.surface import Endpoint

FILE = "first-run.json"
_CHATS = frozenset({Endpoint.CHAT, Endpoint.MESSAGES, Endpoint.GENERATE})


async def prepare(settings: Settings, *, make: bool) -> dict[str, object] | None:
    """What was made, the first time; None afterwards.

    Raises ConfigurationError in production while a first-run account still has its first password.
    """
    async with opened(settings) as stores:
        if settings.production:
            left = await first_passwords(stores.data)
            if left:
                raise ConfigurationError(
                    f"Production refuses to start: {left} first-run accounts still have their first password. "
                    "Change the passwords, or remove the accounts with `valueapi accounts remove-first-run`."
                )
            return None
        file = settings.home / FILE
        if file.exists():
            _move(file, settings.base_url())
        if not make or file.exists():
            return None
        made = await _make(settings, stores)
        _write(file, made)
        # A crash before this line makes the accounts anew at the next start; the unfinished ones can't be used.
        return made


async def _make(settings: Settings, stores: Stores) -> dict[str, object]:
    async def grant(account_id: UUID) -> None:
        amount = settings.demo_credits * ledger.CREDIT
        if amount:
            async with stores.data.transaction(DataUse.PAYMENT) as session:
                key = f"first-run:{account_id}"
                await ledger.grant(session, account_id, amount, key, ledger.EntryKind.DEMO)

    made = await first_run.make_first_run(stores.data, stores.keys, Passwords(), grant)
    return {"base_url": settings.base_url(), **{name: value for name, value in made.items() if name != "base_url"}}


def _move(file: Path, base_url: str) -> None:
    """Another port or host since: scripts read where the service is now."""
    made = json.loads(file.read_text())
    if made.get("base_url") != base_url:
        _write(file, {**made, "base_url": base_url})


def _write(file: Path, made: dict[str, object]) -> None:
    """Durably and readable by its owner alone, or not at all."""
    draft = file.with_name(f".{file.name}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(handle, (json.dumps(made, indent=2) + "\n").encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    draft.replace(file)


def first_model(settings: Settings) -> tuple[str, str | None]:
    """A chat model that can be tried now, and the provider that will answer; None where that is the simulator."""
    catalog = Catalog.load(
        settings.providers,
        production=settings.production,
        allow_insecure=settings.allow_insecure_upstreams,
        simulator_url=None,
    )
    for model in catalog.models if settings.simulator != "on" else ():
        if any(not route.endpoints.isdisjoint(_CHATS) for route in model.routes):
            return model.id, model.routes[0].provider.id
    return "simulator/gpt", None
