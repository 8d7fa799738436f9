"""What a first confirmed address brings: the Credits that the operator set aside for it."""

from contextlib import suppress

from governance.datamap import DataUse
from governance.errors import Conflict
from router.accounts import sign_up
from router.accounts.desk import Desk
from router.billing import ledger


async def confirm(desk: Desk, token: str, credits_microcredits: int) -> None:
    """Confirm an address by the mailed token, and grant the welcome once. Raises Rejected for one that doesn't work."""
    account_id = await sign_up.unconfirmed_account(desk, token)
    if account_id is not None and credits_microcredits:
        # A conflict: it was granted already, before the operator set another amount.
        with suppress(Conflict):
            async with desk.db.transaction(DataUse.PAYMENT) as session:
                key = f"welcome:{account_id}"
                await ledger.grant(session, account_id, credits_microcredits, key, ledger.EntryKind.DEMO)
    # A crash here leaves Credits on an account that nobody can use yet; the same link, or a new one, goes on from there.
    await sign_up.confirm(desk, token)
