"""What a provider says it does with data, as declared for one exact host and credential.

None means *unknown*, and unknown always counts as the worst: trains, retains, satisfies no region, headquarters or
certification. A cache is retention: one that may outlive an hour, or whose lifetime isn't known, counts as long as it
may live. What a provider's memory loses within the hour doesn't count, or no provider at all would keep nothing; a
request can't make it longer, since longer caches are removed or refused where nothing may be kept. The texts here go
into response headers and `/v1/models`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

PASSING_CACHE_SECONDS: Final = 3600
_DAY_SECONDS: Final = 86_400


@dataclass(frozen=True, slots=True)
class DataPolicy:
    """A declared data policy; `known` is False where nothing was declared for this host and credential."""

    known: bool
    trains: bool | None
    retention_days: int | None
    retention_reason: str
    zdr: bool
    caches_prompts: bool | None
    cache_ttl_seconds: int | None
    regions: tuple[str, ...]
    headquarters: str | None
    certifications: tuple[str, ...] | None
    policy_url: str
    transfer_mechanism: str
    checked: date | None

    @property
    def may_train(self) -> bool:
        return not self.known or self.trains is not False

    @property
    def keeps_nothing(self) -> bool:
        """Zero data retention: no prompt or completion rests once the answer is out, but in a passing cache."""
        return self.zdr and self.keeps_at_most(0)

    def keeps_at_most(self, days: int) -> bool:
        if not self.known or self.retention_days is None or self.retention_days > days:
            return False
        return self.caches_at_most(max(PASSING_CACHE_SECONDS, days * _DAY_SECONDS))

    def caches_at_most(self, seconds: int) -> bool:
        """Whether no prompt rests in a cache for longer."""
        if self.caches_prompts is False:
            return True
        return bool(self.caches_prompts) and self.cache_ttl_seconds is not None and self.cache_ttl_seconds <= seconds


UNKNOWN = DataPolicy(
    known=False,
    trains=None,
    retention_days=None,
    retention_reason="",
    zdr=False,
    caches_prompts=None,
    cache_ttl_seconds=None,
    regions=(),
    headquarters=None,
    certifications=None,
    policy_url="",
    transfer_mechanism="",
    checked=None,
)


def summary(policy: DataPolicy) -> str:
    """One line for the `x-valueapi-data-policy` header: `trains=no; retention=P30D; zdr=no; region=us; hq=US`."""
    trains = "unknown" if not policy.known or policy.trains is None else ("yes" if policy.trains else "no")
    zdr = "yes" if policy.keeps_nothing else "no"
    parts = [f"trains={trains}", f"retention={retention_header(policy)}", f"zdr={zdr}"]
    parts.append("region=" + ("+".join(policy.regions) if policy.known and policy.regions else "unknown"))
    parts.append("hq=" + (policy.headquarters if policy.known and policy.headquarters else "unknown"))
    return "; ".join(parts)


def retention_header(policy: DataPolicy, *, may_store: bool = False) -> str:
    """`none`, an ISO 8601 duration such as `P30D`, or `unknown`: how long the provider says it keeps content, a cache that
    isn't a passing one included. `may_store`: the caller lets providers store answers, which rest until they are deleted.
    """
    if may_store or not policy.known or policy.retention_days is None:
        return "unknown"
    seconds = policy.retention_days * _DAY_SECONDS
    if not policy.caches_at_most(max(seconds, PASSING_CACHE_SECONDS)):
        if not policy.caches_prompts or policy.cache_ttl_seconds is None:
            return "unknown"
        seconds = policy.cache_ttl_seconds
    if not seconds:
        return "none"
    days, rest = divmod(seconds, _DAY_SECONDS)
    return f"PT{seconds}S" if rest else f"P{days}D"


def as_json(policy: DataPolicy) -> Mapping[str, object]:
    """For `/v1/models`; an unknown value is null, and `known` says whether anything was declared at all."""
    return {
        "known": policy.known,
        "trains": policy.trains,
        "retention_days": policy.retention_days,
        "retention_reason": policy.retention_reason or None,
        "zdr": policy.keeps_nothing,
        "caches_prompts": policy.caches_prompts,
        "cache_ttl_seconds": policy.cache_ttl_seconds,
        "regions": list(policy.regions),
        "headquarters": policy.headquarters,
        "certifications": None if policy.certifications is None else list(policy.certifications),
        "policy_url": policy.policy_url or None,
        "transfer_mechanism": policy.transfer_mechanism or None,
        "checked": policy.checked.isoformat() if policy.checked else None,
    }
