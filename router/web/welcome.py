"""What a first confirmed address brings: the Credits that the operator set aside for it, whichever link confirmed it."""

from contextlib import suppress

from governance.datamap import DataUse
from governance.errors import Conflict
from router.accounts import password_change, sign_up
from router.accounts.desk import Desk
from router.accounts.one_time import Purpose
from router.billing import ledger


async def confirm(desk: Desk, token: str, password: str, credits_microcredits: int) -> None:
    """Confirm an address by the mailed token, and grant the welcome once. Raises Rejected, as `sign_up.confirm`."""
    await _grant(desk, token, Purpose.CONFIRM, credits_microcredits)
    await sign_up.confirm(desk, token, password)


async def reset(desk: Desk, token: str, password: str, credits_microcredits: int) -> None:
    """Set a new password by the mailed token; where that confirms the address, grant the welcome once. Raises Rejected."""
    await _grant(desk, token, Purpose.RESET, credits_microcredits)
    await password_change.reset(desk, token, password)


async def _grant(desk: Desk, token: str, purpose: Purpose, credits_microcredits: int) -> None:
    account_id = await sign_up.unconfirmed_account(desk, token, purpose)
    if account_id is not None and credits_microcredits:
        # A conflict: it was granted already, before the operator set another amount.
        with suppress(Conflict):
            async with desk.db.transaction(DataUse.PAYMENT) as session:
                key = f"welcome:{account_id}"
                await ledger.grant(session, account_id, credits_microcredits, key, ledger.EntryKind.DEMO)
    # A crash here leaves Credits on an account that nobody can use yet; the same link, or a new one, goes on from there.
