"""The catalog: the shipped file, every refusal by file and field, data policies bound to host and key, prices."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from governance.errors import ConfigurationError
from router.errors import UnknownModel
from router.providers.catalog import Catalog, Price, Rates
from router.providers.secrets import KeyRef, KeyUnresolved, Secret
from router.providers.usage import Usage
from router.surface import Dialect, Endpoint

CANARY = "sk-canary-1234"
SIMULATOR = "http://127.0.0.1:8101"


def everything(ref: KeyRef) -> Secret:
    return Secret("k")


def nothing(ref: KeyRef) -> Secret:
    raise KeyUnresolved("it is not set")


def shipped(resolve_key=everything, simulator_url: str | None = None) -> Catalog:
    return Catalog.load(
        None, production=False, allow_insecure=False, simulator_url=simulator_url, resolve_key=resolve_key
    )


def minimal() -> dict:
    return {
        "providers": {
            "acme": {
                "dialect": "openai",
                "base_url": "https://api.acme.example/v1",
                "key": {"env": "ACME_KEY"},
                "data_policy": {
                    "host": "api.acme.example",
                    "credential": {"env": "ACME_KEY"},
                    "trains": False,
                    "retention_days": 0,
                    "zdr": True,
                    "caches_prompts": False,
                    "policy_url": "https://acme.example/privacy",
                    "checked": "2026-11-24",
                },
            }
        },
        "models": [
            {
                "id": "acme/one",
                "context_window": 1000,
                "max_output_tokens": 100,
                "providers": [
                    {
                        "provider": "acme",
                        "model": "one-v1",
                        "endpoints": ["chat"],
                        "price": {"input": 1, "cached_input": 1, "output": 1},
                    }
                ],
            }
        ],
    }


def load(tmp_path: Path, content: dict | str, *, production: bool = False, insecure: bool = False) -> Catalog:
    file = tmp_path / "mine.yaml"
    file.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
    return Catalog.load(
        file, production=production, allow_insecure=insecure, simulator_url=None, resolve_key=everything
    )


def refused(tmp_path: Path, content: dict | str, **more: bool) -> str:
    with pytest.raises(ConfigurationError) as error:
        load(tmp_path, content, **more)
    text = str(error.value)
    assert text.startswith("mine.yaml: ") and CANARY not in text
    # A traceback must not show the cause, whose text quotes the file.
    assert error.value.__cause__ is None and (error.value.__context__ is None or error.value.__suppress_context__)
    return text


def test_shipped_file_holds_the_known_providers() -> None:
    catalog = shipped(simulator_url=SIMULATOR)
    assert [p.id for p in catalog.providers if not p.simulator] == [
        "openai", "anthropic", "google", "deepseek", "openrouter"
    ]  # fmt: skip
    assert all(p.active and p.data_policy.known and p.data_policy.checked for p in catalog.providers)
    assert [m.id for m in catalog.models][:4] == [
        "simulator/gpt", "simulator/claude", "simulator/gemini", "simulator/embedding"
    ]  # fmt: skip
    for model in catalog.models:
        assert model.routes and all(route.model is model for route in model.routes)
        assert all(r.price.rates.cached_input <= r.price.rates.input for r in model.routes)
    served = {endpoint for model in catalog.models for route in model.routes for endpoint in route.endpoints}
    assert served == set(Endpoint)


def test_simulator_is_on_only_with_an_address_and_keeps_nothing() -> None:
    assert all(not m.id.startswith("simulator/") for m in shipped().models)
    catalog = shipped(nothing, SIMULATOR)
    assert len(catalog.models) == 4
    route = catalog.resolve("simulator/gpt").routes[0]
    assert route.url("/v1/chat/completions") == f"{SIMULATOR}/v1/chat/completions"
    assert route.data_policy.keeps_nothing and not route.data_policy.may_train
    assert route.data_policy.regions == ("local",)
    # Elsewhere than on this machine, its declared policy means nothing.
    far = shipped(nothing, "https://sim.example").resolve("simulator/gpt").routes[0]
    assert not far.data_policy.known


def test_provider_without_a_key_is_inactive_and_says_why() -> None:
    catalog = shipped(nothing)
    assert catalog.models == ()
    for provider in catalog.providers:
        assert not provider.active and provider.key is None
    assert catalog.providers[3].inactive == "environment variable OPENAI_API_KEY: it is not set"


def test_resolve_by_id_and_by_unambiguous_bare_name() -> None:
    catalog = shipped(simulator_url=SIMULATOR)
    assert catalog.resolve("openai/gpt-6.1-terra") is catalog.resolve("gpt-6.1-terra")
    assert catalog.resolve("models/sim-gemini").id == "simulator/gemini"
    for unknown in (CANARY, "", "models/"):
        with pytest.raises(UnknownModel) as error:
            catalog.resolve(unknown)
        assert CANARY not in str(error.value) and error.value.param == "model"


def test_bare_name_of_two_models_names_neither(tmp_path: Path) -> None:
    content = minimal()
    content["models"].append({**content["models"][0], "id": "acme/two"})
    catalog = load(tmp_path, content)
    assert catalog.resolve("acme/two").routes[0].upstream_model == "one-v1"
    with pytest.raises(UnknownModel):
        catalog.resolve("one-v1")


def test_bare_name_never_shadows_an_id(tmp_path: Path) -> None:
    content = minimal()
    second = {**content["models"][0], "id": "acme/two"}
    second["providers"] = [{**second["providers"][0], "model": "acme/one"}]
    content["models"].append(second)
    assert load(tmp_path, content).resolve("acme/one").routes[0].upstream_model == "one-v1"


def test_policy_belongs_to_host_and_credential(tmp_path: Path) -> None:
    assert load(tmp_path, minimal()).providers[0].data_policy.known
    for field, value, note in [
        ("base_url", "https://proxy.example/v1", "another host"),
        ("base_url", "https://api.acme.example:8443/v1", "another host"),
        ("base_url", "https://api.acme.example.evil.example/v1", "another host"),
        ("key", {"env": "OTHER_KEY"}, "another credential"),
        ("key", {"file": "/keys/acme"}, "another credential"),
        ("data_policy", None, "no data policy"),
    ]:
        content = minimal()
        content["providers"]["acme"][field] = value
        catalog = load(tmp_path, content)
        assert note in catalog.providers[0].policy_note
        policy = catalog.models[0].routes[0].data_policy
        assert not policy.known and policy.may_train and not policy.keeps_nothing


def test_aggregators_route_is_unknown_downstream() -> None:
    route = next(r for r in shipped().resolve("deepseek/deepseek-v4-pro").routes if r.provider.aggregator)
    assert route.provider.data_policy.keeps_nothing
    assert route.data_policy.may_train and route.data_policy.retention_days is None and route.data_policy.regions == ()


@pytest.mark.parametrize(
    "url", ["http://api.acme.example/v1", "https://127.1/v1", "http://localhost:9", "https://[::1]"]
)
def test_production_refuses_insecure_upstreams(tmp_path: Path, url: str) -> None:
    content = minimal()
    content["providers"]["acme"]["base_url"] = url
    assert load(tmp_path, content).models
    assert load(tmp_path, content, production=True, insecure=True).models
    text = refused(tmp_path, content, production=True)
    assert "providers.acme.base_url" in text and "VALUEAPI_ALLOW_INSECURE_UPSTREAMS" in text


def test_production_refuses_the_simulator_too() -> None:
    with pytest.raises(ConfigurationError, match="simulator_url"):
        Catalog.load(None, production=True, allow_insecure=False, simulator_url=SIMULATOR, resolve_key=everything)


def _set(path: str, value: object) -> dict:
    content: dict = minimal()
    at: object = content
    *parents, last = path.split(".")
    for part in parents:
        at = at[int(part)] if isinstance(at, list) else at[part]  # type: ignore[index]
    at[last] = value  # type: ignore[index]
    return content


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("providers.acme.key", CANARY),
        ("providers.acme.key", {"env": CANARY}),
        ("providers.acme.key", {"value": CANARY}),
        ("providers.acme.surprise", CANARY),
        ("providers.acme.base_url", "https://u:" + CANARY + "@h.example"),
        ("providers.acme.base_url", None),
        ("providers.acme.dialect", CANARY),
        ("providers.acme.aggregator", "yes"),
        ("providers.acme.slugs", {"openai": ["openai"]}),
        ("providers.acme.simulator", True),
        ("providers.acme.data_policy.trains", "no"),
        ("providers.acme.data_policy.zdr", None),
        ("providers.acme.data_policy.retention_days", 30),
        ("providers.acme.data_policy.caches_prompts", True),
        ("providers.acme.data_policy.caches_prompts", "unknown"),
        ("providers.acme.output_limit", "max_output_tokens"),
        ("providers.acme.data_policy.headquarters", False),
        ("providers.acme.data_policy.checked", "lately"),
        ("models.0.id", "has blanks"),
        ("models.0.providers.0.provider", "nobody"),
        ("models.0.providers.0.endpoints", ["messages"]),
        ("models.0.providers.0.endpoints", []),
        ("models.0.providers.0.price.input", 0.5),
        ("models.0.providers.0.price.input", -1),
        ("models.0.providers.0.price.output", "1"),
        ("models.0.context_window", 0),
        ("models", []),
        ("extra", 1),
    ],
)
def test_refusals_name_the_field(tmp_path: Path, path: str, value: object) -> None:
    text = refused(tmp_path, _set(path, value))
    named = text.removeprefix("mine.yaml: ").split(": ")[0]
    # The field itself, or what holds it where fields contradict each other.
    assert named.startswith(path) or path.startswith(named), text


def test_zdr_and_a_long_cache_contradict_each_other(tmp_path: Path) -> None:
    content = minimal()
    declared = content["providers"]["acme"]["data_policy"]
    declared.update(caches_prompts=True, cache_ttl_seconds=86_400)
    assert "cache_ttl_seconds of at most 3600" in refused(tmp_path, content)
    declared.update(cache_ttl_seconds=3600)
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(content))
    Catalog.load(file, production=False, allow_insecure=True, simulator_url=None, resolve_key=everything)


def test_who_keeps_nothing_of_those_shipped() -> None:
    catalog = shipped(simulator_url=SIMULATOR)
    nothing_kept = {provider.id for provider in catalog.providers if provider.data_policy.keeps_nothing}
    assert nothing_kept == {"openrouter", "simulator-openai", "simulator-anthropic", "simulator-google"}
    for provider in catalog.providers:
        policy = provider.data_policy
        assert policy.transfer_mechanism and policy.policy_url and policy.checked, provider.id


def test_refusals_of_the_file_itself(tmp_path: Path) -> None:
    assert "line 2" in refused(tmp_path, f"a: 1\n{CANARY}: [}}\n")
    assert "line 2" in refused(tmp_path, "a: 1\na: 2\n") and "twice" in refused(tmp_path, "a: 1\na: 2\n")
    assert "not valid YAML" in refused(tmp_path, f"!!python/object/apply:os.system ['{CANARY}']")
    refused(tmp_path, "just text")
    refused(tmp_path, "")
    content = minimal()
    content["models"].append(content["models"][0])
    assert "models.1.id" in refused(tmp_path, content)
    content = minimal()
    content["models"][0]["providers"] *= 2
    assert "models.0.providers.1.provider" in refused(tmp_path, content)
    with pytest.raises(ConfigurationError, match=re.escape("none.yaml: can't be read")):
        Catalog.load(tmp_path / "none.yaml", production=False, allow_insecure=False, simulator_url=None)


def test_another_file_alone_defines_everything(tmp_path: Path) -> None:
    catalog = load(tmp_path, minimal())
    assert [p.id for p in catalog.providers] == ["acme"] and [m.id for m in catalog.models] == ["acme/one"]
    assert catalog.models[0].routes[0].dialect is Dialect.OPENAI


def test_keys_dont_show(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump(minimal()))
    catalog = Catalog.load(
        file, production=False, allow_insecure=False, simulator_url=None, resolve_key=lambda ref: Secret(CANARY)
    )
    assert catalog.models[0].routes[0].key.reveal() == CANARY
    assert CANARY not in repr((catalog.providers, catalog.models, catalog.models[0].routes))


PRICE = Price(Rates(3, 1, 7, 4), Rates(6, 2, 14, 8), 1000)
tokens = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("usage", "charge"),
    [
        (Usage(0, 0, 0, False), 0),
        (Usage(1, 0, 0, False), 1),
        (Usage(1000, 1000, 1000, True), 1),
        (Usage(-5, -5, -5, False), 0),
    ],
)
def test_charge_is_rounded_up_once(usage: Usage, charge: int) -> None:
    assert PRICE.charge_microcredits(usage) == charge


def test_charge_by_hand() -> None:
    price = Price(Rates(2_000_000, 200_000, 10_000_000, 2_500_000))
    # 900 fresh at 2, 100 cached at 0.2, 50 out at 10 micro-credits a token: 1800 + 20 + 500.
    assert price.charge_microcredits(Usage(1000, 100, 50, False)) == 2320
    # Of them 300 written to the cache at 2.5: 1200 + 20 + 750 + 500.
    assert price.charge_microcredits(Usage(1000, 100, 50, False, 300)) == 2470
    # More written than is left of the input: capped.
    assert price.charge_microcredits(Usage(10, 4, 0, False, 99)) == 16  # 0.8 + 15, rounded up
    # Three parts of 0.4 micro-credits each: 1.2 becomes 2, where rounding each part would make 3.
    assert Price(Rates(400_000, 400_000, 400_000, 400_000)).charge_microcredits(Usage(2, 1, 1, False)) == 2
    # More cached than read at all: the cached count can't exceed the input.
    assert price.charge_microcredits(Usage(10, 99, 0, False)) == 2
    assert (
        Price(Rates(1_000_000, 0, 0, 0), Rates(2_000_000, 0, 0, 0), 10).charge_microcredits(Usage(11, 0, 0, False))
        == 22
    )
    assert (
        Price(Rates(1_000_000, 0, 0, 0), Rates(2_000_000, 0, 0, 0), 10).charge_microcredits(Usage(10, 0, 0, False))
        == 10
    )


@given(tokens, tokens, tokens, tokens, tokens, tokens)
def test_reserve_covers_any_usage_within_it(i: int, c: int, w: int, o: int, more_in: int, more_out: int) -> None:
    for price in (PRICE, Price(Rates(3, 5, 7, 4)), Price(Rates(9, 1, 9, 9), Rates(3, 1, 3, 1), 500)):
        reserved = price.reserve_microcredits(i + more_in, o + more_out)
        assert reserved >= price.charge_microcredits(Usage(i, c, o, False, w))


@given(tokens, tokens, tokens, tokens)
def test_charge_is_the_exact_sum_rounded_up(i: int, c: int, w: int, o: int) -> None:
    c = min(i, c)
    rates = PRICE.long if i > 1000 and PRICE.long else PRICE.rates
    w = min(i - c, w)
    exact = (i - c - w) * rates.input + c * rates.cached_input + w * rates.cache_write + o * rates.output
    charged = PRICE.charge_microcredits(Usage(i, c, o, False, w))
    assert exact <= charged * 1_000_000 < exact + 1_000_000
