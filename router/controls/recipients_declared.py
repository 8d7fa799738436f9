"""Policy section 5: "We share data with trusted third-party vendors who assist us in operating our Services"

Every host that something was sent to, and every one that the settings name, is one of a recipient that the policy names, or
of an upstream provider in the catalog.
"""

import ipaddress
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta

from governance import clock
from governance.controls.control import Control, ControlResult
from governance.incidents.incident import Severity
from policies.recipients import Recipients

_LOOKED_BACK = timedelta(days=30)


class RecipientsDeclared(Control):
    """`seen`: hosts that were sent to, and when last; `named`: hosts of stores that the settings name;
    `upstream`: hosts of providers that the catalog offers, or offered then; `operated`: hosts that the operator declares,
    with the recipient's id."""

    id = "recipients-declared"
    title = "Data goes to recipients that the policy names, and to nobody else"
    rule = "We share data with trusted third-party vendors who assist us in operating our Services"
    source = "Privacy policy 2026-03, sections 2, 3 and 5; GDPR Art. 13(1)(e), 28(1)"
    severity = Severity.CRITICAL

    def __init__(
        self,
        recipients: Callable[[], Recipients],
        seen: Callable[[], Awaitable[Mapping[str, datetime]]],
        named: Callable[[], Mapping[str, str]],
        upstream: Callable[[], Awaitable[Collection[str]]],
        operated: Callable[[], Mapping[str, str]],
    ) -> None:
        self._recipients = recipients
        self._seen = seen
        self._named = named
        self._upstream = upstream
        self._operated = operated

    async def run(self) -> ControlResult:
        recipients, operated, upstream = self._recipients(), self._operated(), set(await self._upstream())
        of_operator = {each.id for each in recipients.recipients if each.hosts_from == "operator"}
        failures = [
            f"{host} is declared as one of {recipient}, which the policy doesn't name as the operator's."
            for host, recipient in sorted(operated.items())
            if recipient not in of_operator
        ]
        since = clock.now() - _LOOKED_BACK
        seen = {host for host, at in (await self._seen()).items() if at >= since}

        def declared(host: str) -> bool:
            return _here(host) or host in upstream or host in operated or recipients.host_of(host) is not None

        failures += [
            f"Data was sent to {host}, which is no declared recipient's." for host in sorted(seen) if not declared(host)
        ]
        failures += [
            f"The settings name {host} for {what}, which is no declared recipient's."
            for what, host in sorted(self._named().items())
            if not declared(host)
        ]
        sent = sum(not _here(host) for host in seen)
        missing = "" if seen else "Nothing has been sent to anybody yet."
        return ControlResult(len(seen), tuple(failures), missing, {"elsewhere": sent})


def _here(host: str) -> bool:
    """This very machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
