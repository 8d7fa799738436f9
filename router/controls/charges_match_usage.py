"""Policy section 4: "To process transactions, calculate usage accurately, and apply tier discounts."

Each charge is computed again, from the tokens that were metered and the price that held then.
"""

from governance.controls.control import Control, ControlResult
from governance.db import Database
from governance.incidents.incident import Severity
from router.billing import offered
from router.controls.usage_sample import Metered, usage_sample


class ChargesMatchUsage(Control):
    """Looks at the newest requests, and at some taken at random from all that there are."""

    id = "charges-match-usage"
    title = "What is charged is what was used, at the price that held then"
    rule = "To process transactions, calculate usage accurately, and apply tier discounts."
    source = "Privacy policy 2026-03, section 4; GDPR Art. 5(1)(d)"
    severity = Severity.HIGH

    def __init__(self, data: Database) -> None:
        self._data = data

    async def run(self) -> ControlResult:
        offers = await offered.load(self._data)
        since = offers.since()
        rows = await usage_sample(self._data)
        judged = [row for row in rows if since is not None and row.at >= since]
        wrong = [row for row in judged if not _right(row, offers)]
        failures = (f"{len(wrong)} of {len(judged)} charges aren't what usage and price come to.",) if wrong else ()
        counts = {"older_than_prices": len(rows) - len(judged)}
        missing = "" if judged else "No request has been served since prices are recorded."
        return ControlResult(len(judged), failures, missing, counts)


def _right(row: Metered, offers: offered.Offers) -> bool:
    if not row.provider:  # none was reached
        return row.tokens.input_tokens + row.tokens.output_tokens == row.charge_microcredits == 0
    prices = offers.prices(row.model, row.provider, row.at)
    return any(price.charge_microcredits(row.tokens) == row.charge_microcredits for price in prices)
