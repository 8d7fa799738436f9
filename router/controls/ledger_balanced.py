"""Policy section 4: "To process transactions, calculate usage accurately, and apply tier discounts."

Double entry: postings sum to zero, each balance is what was posted, each lease is what the ledger put aside for it.
"""

from governance.controls.control import Control, ControlResult
from governance.datamap import DataUse
from governance.db import Database
from governance.incidents.incident import Severity
from router.billing import lease, ledger


class LedgerBalanced(Control):
    """Adds the whole book up again."""

    id = "ledger-balanced"
    title = "The books add up"
    rule = "To process transactions, calculate usage accurately, and apply tier discounts."
    source = "Privacy policy 2026-03, section 4; GDPR Art. 5(1)(d)"
    severity = Severity.HIGH

    def __init__(self, data: Database) -> None:
        self._data = data

    async def run(self) -> ControlResult:
        async with self._data.session(DataUse.PAYMENT) as session:
            book = await ledger.verify(session)
            leases = await lease.differences(session)
        failures = [f"Entry {entry} of the ledger doesn't sum to zero." for entry, _ in book.unbalanced_entries]
        failures += [
            f"The balance of ledger account {account} isn't what was posted." for account, *_ in book.wrong_balances
        ]
        failures += ["What is put aside for running requests isn't what the open leases hold."] * bool(leases)
        if book.total_microcredits:
            failures.append("The whole ledger doesn't sum to zero.")
        counts = {"accounts": book.accounts, "entries": book.entries, "postings": book.postings}
        return ControlResult(book.postings, tuple(failures), counts=counts)
