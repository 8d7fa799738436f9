"""Selection: order, closed failure with every provider's rule, aggregators, and the merge property."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.errors import InvalidRequest, NoProviderAllowed
from router.providers.base_url import parse as parse_url
from router.providers.catalog import Model, Price, Provider, Rates, Route, downstream_unknown
from router.providers.constraints import NONE, Constraints, parse, strictest
from router.providers.data_policy import UNKNOWN, DataPolicy
from router.providers.secrets import Secret
from router.providers.selection import exclusion, select, served_by
from router.surface import Dialect, Endpoint
from tests.router.providers.test_constraints import constraints
from tests.router.providers.test_data_policy import KNOWN

CHAT = frozenset({Endpoint.CHAT, Endpoint.EMBEDDINGS})
ZERO = replace(KNOWN, zdr=True, retention_days=0, retention_reason="", regions=("eu",), headquarters="DE")


def route(
    name: str,
    policy: DataPolicy,
    *,
    dialect: Dialect = Dialect.OPENAI,
    endpoints: frozenset[Endpoint] = CHAT,
    slugs: dict[str, tuple[str, ...]] | None = None,
) -> Route:
    base = parse_url(f"https://{name}.example", dialect)
    aggregator = slugs is not None
    provider = Provider(name, dialect, base, Secret("k"), None, False, aggregator, slugs or {}, None, policy, "", None)
    shown = downstream_unknown(policy) if aggregator else policy
    model = Model("m", 1000, 100, ())
    return Route(provider, base, Secret("k"), "up", dialect, endpoints, Price(Rates(1, 1, 1, 1)), shown, model)


def model(*routes: Route) -> Model:
    return Model("acme/m", 1000, 100, (), None, routes)


def pick(
    chosen: Model, demanded: Constraints = NONE, *, endpoint: Endpoint = Endpoint.CHAT, translates: bool = False
) -> list[str]:
    dialect = Dialect.ANTHROPIC if endpoint is Endpoint.MESSAGES else Dialect.OPENAI
    found = select(chosen, endpoint, dialect, demanded, can_translate=lambda _from, _to: translates)
    return [r.provider.id for r in found]


ALPHA, BETA, GAMMA = route("alpha", KNOWN), route("beta", ZERO), route("gamma", UNKNOWN)
ALL = model(ALPHA, BETA, GAMMA)
AGGREGATOR = route("agg", ZERO, slugs={"alpha": ("alpha-ai", "alpha-cloud"), "agg": ()})


def test_without_constraints_the_models_own_order() -> None:
    assert pick(ALL) == ["alpha", "beta", "gamma"]


def test_order_comes_first_and_without_fallbacks_it_is_all() -> None:
    assert pick(ALL, Constraints(order=("gamma", "nobody"))) == ["gamma", "alpha", "beta"]
    assert pick(ALL, Constraints(order=("gamma", "beta"), allow_fallbacks=False)) == ["gamma", "beta"]
    assert pick(ALL, Constraints(allow_fallbacks=False)) == ["alpha"]
    assert pick(ALL, Constraints(allow_fallbacks=False, zdr=True)) == ["beta"]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        ({"data_collection": "deny"}, ["alpha", "beta"]),
        ({"data_collection": "allow"}, ["alpha", "beta", "gamma"]),
        ({"zdr": True}, ["beta"]),
        ({"only": ["gamma"]}, ["gamma"]),
        ({"ignore": ["alpha"]}, ["beta", "gamma"]),
        ({"max_retention_days": 30}, ["alpha", "beta"]),
        ({"max_retention_days": 29}, ["beta"]),
        ({"max_retention_days": 36500}, ["alpha", "beta"]),
        ({"region": "eu"}, ["beta"]),
        ({"region": ["us", "eu", "cn"]}, ["alpha", "beta"]),
        ({"headquarters": ["US"]}, ["alpha"]),
        ({"certifications": ["soc2"]}, ["alpha", "beta"]),
    ],
)
def test_each_rule(wanted: dict[str, object], left: list[str]) -> None:
    assert pick(ALL, parse(wanted)) == left


def test_none_left_fails_closed_and_names_each_rule() -> None:
    with pytest.raises(NoProviderAllowed) as error:
        pick(ALL, parse({"zdr": True, "ignore": ["beta"], "only": ["alpha", "beta"]}))
    assert error.value.detail == {
        "alpha": "zdr: the provider keeps the data for 30 days",
        "beta": "ignore: the provider is named",
        "gamma": "only: the provider isn't among those named",
    }
    assert error.value.status == 403


@pytest.mark.parametrize(
    ("policy", "demanded", "rule"),
    [
        (replace(ZERO, cache_ttl_seconds=86_400), {"zdr": True}, "zdr: the provider caches prompts for up to 86400 seconds"),
        (replace(ZERO, caches_prompts=None, cache_ttl_seconds=None), {"zdr": True},
         "zdr: how long the provider caches prompts isn't known"),
        (replace(ZERO, cache_ttl_seconds=86_401), {"max_retention_days": 1},
         "max_retention_days: the provider caches prompts for up to 86401 seconds"),
        (replace(ZERO, zdr=False), {"zdr": True}, "zdr: the provider doesn't promise zero data retention"),
    ],
)  # fmt: skip
def test_a_cache_that_keeps_excludes(policy: DataPolicy, demanded: dict[str, object], rule: str) -> None:
    assert exclusion(route("one", policy), parse(demanded)) == rule
    # An aggregator's own declaration says what those behind it may cache.
    assert exclusion(route("one", policy, slugs={}), parse(demanded)) == rule


def test_rules_dont_repeat_the_callers_words() -> None:
    words = parse({"certifications": ["canary1"], "region": "canary2"})
    with pytest.raises(NoProviderAllowed) as error:
        pick(ALL, words)
    assert "canary" not in str(error.value.detail)


def test_training_and_unknown_retention_are_data_collection() -> None:
    trains = route("t", replace(KNOWN, trains=True))
    perhaps = route("p", replace(KNOWN, trains=None))
    forever = route("f", replace(KNOWN, retention_days=None))
    deny = Constraints(data_collection="deny")
    rules = [exclusion(r, deny) for r in (trains, perhaps, forever)]
    assert all(rule is not None and rule.startswith("data_collection: ") for rule in rules)


def test_endpoint_that_nobody_has_is_the_callers_mistake_not_a_refusal_of_policy() -> None:
    with pytest.raises(InvalidRequest) as error:
        pick(ALL, Constraints(zdr=True), endpoint=Endpoint.RESPONSES)
    assert error.value.param == "model" and error.value.status == 400


def test_translation_needs_both_a_translation_and_a_conversation() -> None:
    claude = model(route("claude", KNOWN, dialect=Dialect.ANTHROPIC, endpoints=frozenset({Endpoint.MESSAGES})))
    assert pick(claude, translates=True) == ["claude"]
    for endpoint, translates in ((Endpoint.CHAT, False), (Endpoint.EMBEDDINGS, True)):
        with pytest.raises(InvalidRequest):
            pick(claude, endpoint=endpoint, translates=translates)
    mute = model(route("mute", KNOWN, endpoints=frozenset({Endpoint.EMBEDDINGS})))
    with pytest.raises(InvalidRequest):
        pick(mute, endpoint=Endpoint.MESSAGES, translates=True)
    assert pick(ALL, endpoint=Endpoint.MESSAGES, translates=True) == ["alpha", "beta", "gamma"]


def bound(**wanted: object) -> Route:
    found = select(
        model(AGGREGATOR), Endpoint.CHAT, Dialect.OPENAI, parse(wanted), can_translate=lambda _from, _to: False
    )
    return found[0]


def test_aggregator_gets_the_constraint_sent_on() -> None:
    assert bound().forward_constraints == {} and bound().data_policy.may_train
    assert bound(zdr=True).forward_constraints == {"zdr": True, "data_collection": "deny"}
    assert bound(zdr=True).data_policy.keeps_nothing and not bound(zdr=True).data_policy.may_train
    assert bound(data_collection="deny").forward_constraints == {"data_collection": "deny"}
    assert bound(data_collection="deny").data_policy.retention_days is None
    assert bound(max_retention_days=7).forward_constraints == {"zdr": True, "data_collection": "deny"}
    assert bound(ignore=["alpha"], allow_fallbacks=False).forward_constraints == {
        "ignore": ["alpha-ai", "alpha-cloud"],
        "allow_fallbacks": False,
    }
    assert AGGREGATOR.forward_constraints == {}


@pytest.mark.parametrize(
    "wanted",
    [
        {"region": "eu"},
        {"headquarters": ["DE"]},
        {"certifications": ["soc2"]},
        {"ignore": ["beta"]},
        {"ignore": ["agg"]},
    ],
)
def test_aggregator_is_excluded_where_it_cant_be_bound(wanted: dict[str, object]) -> None:
    with pytest.raises(NoProviderAllowed):
        bound(**wanted)


@pytest.mark.parametrize("own", [UNKNOWN, KNOWN, replace(ZERO, trains=None)])
def test_aggregators_own_policy_counts_too(own: DataPolicy) -> None:
    keeps = model(route("agg", own, slugs={}))
    with pytest.raises(NoProviderAllowed):
        pick(keeps, parse({"zdr": True, "data_collection": "deny"}))


def test_a_route_answers_its_own_endpoints_and_what_is_translated() -> None:
    def openai_to_all(client: Dialect, _upstream: Dialect) -> bool:
        return client is Dialect.OPENAI

    native = route("a", KNOWN, dialect=Dialect.ANTHROPIC, endpoints=frozenset({Endpoint.MESSAGES}))
    assert served_by(native, can_translate=openai_to_all) == {Endpoint.MESSAGES, Endpoint.CHAT}
    counting = replace(native, endpoints=frozenset({Endpoint.COUNT_TOKENS}))
    assert served_by(counting, can_translate=openai_to_all) == {Endpoint.COUNT_TOKENS}


policies = st.builds(
    DataPolicy,
    known=st.booleans(),
    trains=st.none() | st.booleans(),
    retention_days=st.none() | st.integers(0, 60),
    retention_reason=st.just(""),
    zdr=st.booleans(),
    caches_prompts=st.none() | st.booleans(),
    cache_ttl_seconds=st.none() | st.sampled_from([300, 86_400, 864_000]),
    regions=st.lists(st.sampled_from(["us", "eu", "cn"]), unique=True).map(tuple),
    headquarters=st.none() | st.sampled_from(["US", "DE", "CN"]),
    certifications=st.none() | st.lists(st.sampled_from(["soc2", "iso27001"]), unique=True).map(tuple),
    policy_url=st.just(""),
    transfer_mechanism=st.just(""),
    checked=st.none(),
)
routes = st.builds(
    route,
    st.sampled_from(["alpha", "beta", "gamma"]),
    policies,
    slugs=st.none() | st.just({"alpha": ("a",)}) | st.just({"alpha": ("a",), "beta": ("b",), "gamma": ("g",)}),
)


@settings(suppress_health_check=[HealthCheck.too_slow])  # of a machine with other work
@given(routes, constraints, constraints, constraints)
def test_merging_admits_exactly_what_each_alone_admits(
    one: Route, first: Constraints, second: Constraints, third: Constraints
) -> None:
    merged = strictest(first, second, third)
    if exclusion(one, merged) is None:
        assert all(exclusion(one, c) is None for c in (first, second, third))


@given(routes, constraints, constraints)
def test_merging_forwards_at_least_what_each_alone_forwards(
    one: Route, first: Constraints, second: Constraints
) -> None:
    def forwarded(demanded: Constraints) -> set[str] | None:
        try:
            got = select(model(one), Endpoint.CHAT, Dialect.OPENAI, demanded, can_translate=lambda _from, _to: False)
        except NoProviderAllowed:
            return None
        sent = got[0].forward_constraints
        return set(sent) | {f"ignore {name}" for name in sent.get("ignore", ())}  # type: ignore[attr-defined]

    both = forwarded(strictest(first, second))
    if both is not None:
        for alone in (forwarded(first), forwarded(second)):
            assert alone is not None and alone <= both


def test_a_wish_of_the_request_cant_widen_an_order_without_fallbacks() -> None:
    account = Constraints(order=("alpha",), allow_fallbacks=False)
    request = Constraints(order=("beta",))
    assert pick(ALL, request) == ["beta", "alpha", "gamma"]
    assert pick(ALL, strictest(account, request)) == ["alpha"]
    assert pick(ALL, strictest(account, Constraints(order=("beta", "alpha")))) == ["alpha"]
