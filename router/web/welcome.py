"""What a first confirmed address brings: the Credits that the operator set aside for it."""

from governance.datamap import DataUse
from router.accounts import sign_up
from router.accounts.desk import Desk
from router.billing import ledger


async def confirm(desk: Desk, token: str, credits_microcredits: int) -> None:
    """Confirm an address by the mailed token. Raises Rejected for one that doesn't work."""
    confirmed = await sign_up.confirm(desk, token)
    # A crash here leaves a confirmed account without its welcome: the grant is keyed, so support can repeat it safely.
    if confirmed.first and credits_microcredits:
        async with desk.db.transaction(DataUse.PAYMENT) as session:
            key = f"sign-up:{confirmed.account_id}"
            await ledger.grant(session, confirmed.account_id, credits_microcredits, key, ledger.EntryKind.DEMO)
