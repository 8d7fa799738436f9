"""Adding Credits, and the tier that follows from them: "your lifetime top-up volume to determine your tier"."""

from uuid import UUID

from governance.datamap import DataUse
from router.accounts import account
from router.app.stores import Stores
from router.billing import ledger
from router.gateway.ratelimit import Tiers


async def top_up(stores: Stores, account_id: UUID, microcredits: int, key: str, *, demo: bool = False) -> bool:
    """Credit an account once per key, and move it up to the tier that its paid top-ups reach; never down.

    False where the key was used already. Raises NotFound, or Conflict (the key with another amount).
    """
    tiers = Tiers.load(stores.settings.tiers)
    current = await account.account_tier(stores.data, account_id)
    reason = ledger.EntryKind.DEMO if demo else ledger.EntryKind.TOP_UP
    async with stores.data.transaction(DataUse.PAYMENT) as session:
        added = await ledger.grant(session, account_id, microcredits, key, reason)
        lifetime = await ledger.lifetime_top_up(session, account_id)
    # A crash here: the Credits are there; the same command again adds nothing and moves the account up.
    reached = tiers.for_top_up(lifetime)
    order = [tier.name for tier in tiers]
    if current not in order or order.index(reached.name) > order.index(current):
        await account.set_tier(stores.data, account_id, reached.name, bump=stores.shared.bump)
    return added
