"""Which providers may see a request, and in which order: pure, and closed where in doubt.

A provider whose policy isn't known counts as training and retaining, and satisfies no region, headquarters or
certification. An aggregator satisfies a constraint only by the same constraint being sent on to it.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

from router.errors import InvalidRequest, NoProviderAllowed
from router.providers.catalog import Model, Route
from router.providers.constraints import Constraints
from router.providers.data_policy import DataPolicy
from router.surface import ENDPOINT_DIALECT, Dialect, Endpoint

# The one conversation endpoint of each dialect, which translation leads from and to.
_CONVERSATION = {
    Dialect.OPENAI: (Endpoint.CHAT,),
    Dialect.ANTHROPIC: (Endpoint.MESSAGES,),
    Dialect.GOOGLE: (Endpoint.GENERATE, Endpoint.STREAM_GENERATE),
}


def select(
    model: Model,
    endpoint: Endpoint,
    dialect: Dialect,
    constraints: Constraints,
    *,
    can_translate: Callable[[Dialect, Dialect], bool],
) -> list[Route]:
    """The routes that may be tried, in order: `order` first, then the model's own. At least one.

    An aggregator's route comes with `forward_constraints` to put into the upstream request's `provider`, and with the
    data policy that holds under them. Raises InvalidRequest where no provider of the model has this endpoint, and
    NoProviderAllowed, whose `detail` maps each provider to the rule that excluded it, where the constraints leave none.
    """
    serving = [route for route in model.routes if _serves(route, endpoint, dialect, can_translate)]
    if not serving:
        raise InvalidRequest("This model isn't offered on this endpoint.", param="model", code="endpoint_not_offered")
    excluded: dict[str, str] = {}
    allowed: list[Route] = []
    for route in serving:
        rule = exclusion(route, constraints)
        if rule is None:
            allowed.append(_bound(route, constraints))
        else:
            excluded[route.provider.id] = rule
    if not allowed:
        raise NoProviderAllowed(
            "No provider of this model may see this request under the constraints of account, key and request.",
            param="provider",
            detail=excluded,
        )
    wish = {name: place for place, name in enumerate(constraints.order)}
    # A stable sort: those not named keep the model's order, behind the named ones.
    allowed.sort(key=lambda route: wish.get(route.provider.id, len(wish)))
    return allowed if constraints.allow_fallbacks or constraints.order else allowed[:1]


def served_by(route: Route, *, can_translate: Callable[[Dialect, Dialect], bool]) -> frozenset[Endpoint]:
    """All endpoints that the route can answer, in its own dialect or by translation: what `select` would choose it for."""
    return frozenset(
        endpoint for endpoint, dialect in ENDPOINT_DIALECT.items() if _serves(route, endpoint, dialect, can_translate)
    )


def exclusion(route: Route, constraints: Constraints) -> str | None:
    """The rule that keeps content from this provider, as a short sentence of ours; None where it is allowed."""
    provider = route.provider
    if constraints.named is not None and provider.id not in constraints.named:
        return "only: the provider isn't among those named"
    if provider.id in constraints.ignore:
        return "ignore: the provider is named"
    if provider.aggregator:
        return _aggregator_exclusion(route, constraints)
    return _policy_exclusion(route.data_policy, constraints) or _place_exclusion(route.data_policy, constraints)


def _policy_exclusion(policy: DataPolicy, constraints: Constraints) -> str | None:
    if constraints.data_collection == "deny":
        if policy.may_train:
            return f"data_collection: {_may(policy)} train on the data"
        if policy.retention_days is None:
            return "data_collection: how long the data is kept isn't known"
    if constraints.zdr and not policy.keeps_nothing:
        return f"zdr: {_keeps(policy, 0)}"
    days = constraints.max_retention_days
    if days is not None and not policy.keeps_at_most(days):
        return f"max_retention_days: {_keeps(policy, days)}"
    return None


def _place_exclusion(policy: DataPolicy, constraints: Constraints) -> str | None:
    if constraints.region is not None:
        # Every place it may be processed in counts, not any.
        if not policy.known or not policy.regions:
            return "region: where the data is processed isn't known"
        if not constraints.region.issuperset(policy.regions):
            return f"region: the data may be processed in {', '.join(policy.regions)}"
    seat = policy.headquarters if policy.known else None
    if constraints.headquarters is not None and seat not in constraints.headquarters:
        place = seat or "a country that isn't known"
        return f"headquarters: the provider is subject to the law of {place}"
    missing = constraints.certifications.difference((policy.known and policy.certifications) or ())
    if missing:
        # The wanted names were the caller's own words, so they are counted, not repeated.
        return f"certifications: not held or not known, {len(missing)} of those wanted"
    return None


def _aggregator_exclusion(route: Route, constraints: Constraints) -> str | None:
    own = route.provider.data_policy
    rule = _policy_exclusion(own, constraints)
    if rule is not None:
        return rule
    if constraints.region is not None:
        return "region: an aggregator passes the data on to where isn't known"
    if constraints.headquarters is not None:
        return "headquarters: an aggregator passes the data on to whom isn't known"
    if constraints.certifications:
        return "certifications: an aggregator passes the data on to whom isn't known"
    if any(name not in route.provider.slugs for name in constraints.ignore):
        return "ignore: the aggregator might pass the data on to the provider named, and can't be told not to"
    return None


def _bound(route: Route, constraints: Constraints) -> Route:
    """An aggregator's route with what is sent on, and the data policy that then holds downstream as well."""
    if not route.provider.aggregator:
        return route
    forward: dict[str, object] = {}
    policy = route.data_policy
    if constraints.zdr or constraints.max_retention_days is not None:
        # The aggregator knows no number of days, so any limit becomes the strictest one.
        forward["zdr"] = True
        own = route.provider.data_policy
        policy = replace(
            policy,
            retention_days=0,
            retention_reason="zdr is sent on",
            zdr=True,
            caches_prompts=own.caches_prompts,
            cache_ttl_seconds=own.cache_ttl_seconds,
        )
    if forward or constraints.data_collection == "deny":
        forward["data_collection"] = "deny"
        policy = replace(policy, trains=False)
    slugs = sorted({slug for name in constraints.ignore for slug in route.provider.slugs[name]})
    if slugs:
        forward["ignore"] = slugs
    if not constraints.allow_fallbacks:
        forward["allow_fallbacks"] = False
    sent: Mapping[str, object] = MappingProxyType(forward)
    return replace(route, forward_constraints=sent, data_policy=policy)


def _serves(
    route: Route, endpoint: Endpoint, dialect: Dialect, can_translate: Callable[[Dialect, Dialect], bool]
) -> bool:
    if route.dialect is dialect:
        return endpoint in route.endpoints
    return (
        endpoint in _CONVERSATION[dialect]
        and route.endpoints.issuperset(_CONVERSATION[route.dialect])
        and can_translate(dialect, route.dialect)
    )


def _may(policy: DataPolicy) -> str:
    return "the provider says it does" if policy.known and policy.trains else "it isn't known that the provider doesn't"


def _keeps(policy: DataPolicy, days: int) -> str:
    if not policy.known or policy.retention_days is None:
        return "how long the data is kept isn't known"
    if policy.retention_days > days:
        return f"the provider keeps the data for {policy.retention_days} days"
    if policy.keeps_at_most(days):
        return "the provider doesn't promise zero data retention"
    if policy.cache_ttl_seconds is None:
        return "how long the provider caches prompts isn't known"
    return f"the provider caches prompts for up to {policy.cache_ttl_seconds} seconds"
