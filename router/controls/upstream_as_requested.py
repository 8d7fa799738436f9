"""Policy section 5: "Your API request payloads are sent directly to the provider of the model you request."

Whom each request was sent to was offered for the model that it named, then.
"""

from governance.controls.control import Control, ControlResult
from governance.db import Database
from governance.incidents.incident import Severity
from router.billing import offered
from router.controls.usage_sample import usage_sample


class UpstreamAsRequested(Control):
    """Looks at the newest requests, and at some taken at random from all that there are."""

    id = "upstream-as-requested"
    title = "Each request went to a provider of the model that was asked for"
    rule = "Your API request payloads are sent directly to the provider of the model you request."
    source = "Privacy policy 2026-03, sections 3, 4 and 5; GDPR Art. 5(1)(b)"
    severity = Severity.HIGH

    def __init__(self, data: Database) -> None:
        self._data = data

    async def run(self) -> ControlResult:
        offers = await offered.load(self._data)
        since = offers.since()
        sent = [row for row in await usage_sample(self._data) if row.provider and since is not None and row.at >= since]
        elsewhere = {(row.provider, row.model) for row in sent if not offers.prices(row.model, row.provider, row.at)}
        failures = tuple(
            f"Requests went to {provider}, which wasn't offered for {model} then."
            for provider, model in sorted(elsewhere)
        )
        missing = "" if sent else "No request has been sent to a provider since offers are recorded."
        return ControlResult(len(sent), failures, missing, {"pairs": len({(row.provider, row.model) for row in sent})})
