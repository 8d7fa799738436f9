"""The list promises what the dispatcher keeps: each claim is held against `select`, none is written down here."""

import json

import pytest

from router.errors import InvalidRequest, NoProviderAllowed, UnknownModel
from router.gateway import models_list
from router.providers.catalog import Catalog, Model, Rates
from router.providers.constraints import NONE, Constraints
from router.providers.secrets import Secret
from router.providers.selection import select
from router.providers.translation import can_translate
from router.surface import ENDPOINT_DIALECT, Dialect

CATALOG = Catalog.load(
    None,
    production=False,
    allow_insecure=False,
    simulator_url="http://127.0.0.1:9",
    resolve_key=lambda ref: Secret("k"),
)
Answers = dict[str, set[str]]


def listed(dialect: Dialect, constraints: Constraints) -> dict[str, Answers]:
    """Per model, per provider: the endpoints that the list shows."""
    shown = json.loads(models_list.models(CATALOG, constraints, dialect, None))
    rows = shown["models" if dialect is Dialect.GOOGLE else "data"]
    return {
        row["name"].removeprefix("models/") if dialect is Dialect.GOOGLE else row["id"]: {
            provider["id"]: set(provider["endpoints"]) for provider in row["providers"]
        }
        for row in rows
    }


def dispatched(model: Model, dialect: Dialect, constraints: Constraints) -> Answers:
    """The same, by asking for each endpoint as a request would."""
    out: Answers = {}
    for endpoint in (e for e, d in ENDPOINT_DIALECT.items() if d is dialect):
        try:
            routes = select(model, endpoint, dialect, constraints, can_translate=can_translate)
        except (InvalidRequest, NoProviderAllowed):
            continue
        for route in routes:
            out.setdefault(route.provider.id, set()).add(endpoint.value)
    return out


@pytest.mark.parametrize("dialect", Dialect)
@pytest.mark.parametrize(
    "constraints", [NONE, Constraints(zdr=True), Constraints(data_collection="deny"), Constraints(ignore=frozenset({"openai"}))]
)  # fmt: skip
def test_the_list_is_what_the_dispatcher_serves(dialect: Dialect, constraints: Constraints) -> None:
    served = {model.id: dispatched(model, dialect, constraints) for model in CATALOG.models}
    assert listed(dialect, constraints) == {name: answers for name, answers in served.items() if answers}


def test_models_that_translation_reaches_are_listed() -> None:
    openai, anthropic = listed(Dialect.OPENAI, NONE), listed(Dialect.ANTHROPIC, NONE)
    assert openai["simulator/claude"] == {"simulator-anthropic": {"chat"}}
    assert openai["simulator/gemini"] == {"simulator-google": {"chat"}}
    assert openai["simulator/embedding"] == {"simulator-openai": {"embeddings"}}
    assert anthropic["simulator/gpt"] == {"simulator-openai": {"messages"}}
    assert "simulator/gemini" not in anthropic and "simulator/embedding" not in anthropic


def test_one_entry_agrees_with_the_list() -> None:
    one = json.loads(models_list.models(CATALOG, NONE, Dialect.GOOGLE, "simulator/gemini"))
    assert one["supportedGenerationMethods"] == ["generateContent", "streamGenerateContent", "countTokens"]
    price = one["providers"][0]["price_microcredits_per_million_tokens"]
    assert price == {"input": 500_000, "cached_input": 50_000, "cache_write": 500_000, "output": 3_000_000}
    with pytest.raises(UnknownModel):
        models_list.models(CATALOG, NONE, Dialect.ANTHROPIC, "simulator/gemini")


@pytest.mark.parametrize("dialect", Dialect)
def test_every_rate_that_a_request_may_be_charged_at_is_shown(dialect: Dialect) -> None:
    long = 0
    for model in CATALOG.models:
        try:
            shown = json.loads(models_list.models(CATALOG, NONE, dialect, model.id))
        except UnknownModel:
            continue
        prices = {route.provider.id: route.price for route in model.routes}
        for provider in shown["providers"]:
            price, told = prices[provider["id"]], dict(provider["price_microcredits_per_million_tokens"])
            beyond = told.pop("long_context", None)
            assert Rates(**told) == price.rates and (beyond is None) == (price.long is None)
            if beyond is not None:
                long += 1
                assert beyond.pop("above_input_tokens") == price.long_above and Rates(**beyond) == price.long
    assert long > 0
