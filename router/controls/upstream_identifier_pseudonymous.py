"""Policy section 5: "We map your account to an upstream identifier to facilitate this routing."

Requests are made up for accounts of nobody and prepared for every provider as any other: what would leave holds no id of
ours, nothing that is computed from one without our key, and another identifier for each account and provider.
"""

import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

from governance.controls.control import Control, ControlResult
from governance.incidents.incident import Severity
from governance.subjects import SubjectState
from governance.vault.envelope import Key
from router.accounts.principal import Principal
from router.accounts.roles import Role
from router.gateway.told_upstream import Told, told
from router.providers.catalog import Catalog

_HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b")
_CUT = 32  # as a pseudonym is cut


class UpstreamIdentifierPseudonymous(Control):
    """`catalog` gives the providers that are active, `key` the key of the pseudonyms."""

    id = "upstream-identifier-pseudonymous"
    title = "Providers know an account by a pseudonym of their own"
    rule = "We map your account to an upstream identifier to facilitate this routing."
    source = "Privacy policy 2026-03, section 5; GDPR Art. 4(5), 25(1)"
    severity = Severity.HIGH

    def __init__(self, catalog: Callable[[], Catalog], key: Callable[[], Awaitable[bytes]]) -> None:
        self._catalog = catalog
        self._key = key

    async def run(self) -> ControlResult:
        catalog, key = self._catalog(), await self._key()
        first, again, second = (list(told(catalog, who, key, _forms(who))) for who in _people())
        failures = [
            f"{provider} would be told {name} of the caller's."
            for provider, name in sorted({(each.provider, name) for each in (*first, *second) for name in each.held})
        ]
        failures += _differ(first, again, second)
        counts = {"providers": len({each.provider for each in first})}
        return ControlResult(
            len(first) + len(second), tuple(failures), "" if first else "No provider is active.", counts
        )


def _people() -> tuple[Principal, Principal, Principal]:
    """One account with two of its keys, and another."""
    account_id = uuid4()
    return _principal(account_id), _principal(account_id), _principal(uuid4())


def _principal(account_id: UUID) -> Principal:
    nothing = Key(uuid4(), bytes(32))
    return Principal(
        uuid4(), account_id, uuid4(), "free", Role.USER.value, None, None, nothing, SubjectState.ACTIVE.value
    )


def _forms(who: Principal) -> dict[str, bytes]:
    """Each id as it may be written, and what anybody could compute from it."""
    found: dict[str, bytes] = {}
    for name, value in (("account", who.account_id), ("person", who.subject_id), ("key", who.api_key_id)):
        spelled = {"as text": str(value).encode(), "in hex": value.hex.encode(), "in base64": b64encode(value.bytes)}
        found |= {f"the {name}'s id {form}": text for form, text in spelled.items()}
        for algorithm in _HASHES:
            for form, given in (*spelled.items(), ("as bytes", value.bytes)):
                digest = hashlib.new(algorithm, given).hexdigest()[:_CUT]
                found[f"{algorithm} of the {name}'s id {form}"] = digest.encode()
    return found


def _differ(first: list[Told], again: list[Told], second: list[Told]) -> list[str]:
    """Sentences for identifiers that are the same where they must not be, or not where they must."""
    by_provider = {each.provider: each.pseudonyms for each in first if each.pseudonyms}
    failures = [
        f"{each.provider} would be told more than one identifier." for each in first if len(each.pseudonyms) > 1
    ]
    failures += [
        f"{each.provider} would know one account by several identifiers."
        for each in again
        if each.pseudonyms and each.pseudonyms != by_provider.get(each.provider)
    ]
    failures += [
        f"{each.provider} would know two accounts by one identifier."
        for each in second
        if each.pseudonyms & by_provider.get(each.provider, frozenset())
    ]
    shared = [name for name in by_provider if any(by_provider[name] & by_provider[o] for o in by_provider if o != name)]
    failures += [f"{name} would know an account by the identifier that others know it by." for name in shared]
    return list(dict.fromkeys(failures))
