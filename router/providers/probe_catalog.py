"""What the service's own probe may ask for: one model a wire, all at one port of this machine, free of charge.

It is made for a running probe alone and never joins the operator's catalog, so production's rule against upstreams on
this machine holds for everybody else.
"""

from types import MappingProxyType

from router.providers import base_url
from router.providers.catalog import Catalog, Model, Price, Provider, Rates, Route
from router.providers.data_policy import UNKNOWN
from router.providers.secrets import Secret
from router.surface import ENDPOINT_DIALECT, Dialect, Endpoint

CREDENTIAL = "probe"
_FREE = Price(Rates(0, 0, 0, 0))
_CONTEXT_TOKENS = 1_000_000


def model_id(dialect: Dialect) -> str:
    """The model that is asked in this dialect."""
    return f"probe/{dialect.value}"


def probe_catalog(port: int) -> Catalog:
    """The catalog of a probe whose upstream listens on `port`."""
    made = [_wire(dialect, port) for dialect in Dialect]
    return Catalog(tuple(provider for provider, _ in made), tuple(model for _, model in made), {})


def _wire(dialect: Dialect, port: int) -> tuple[Provider, Model]:
    name = model_id(dialect)
    base, key = base_url.parse(f"http://127.0.0.1:{port}", dialect), Secret(CREDENTIAL)
    provider = Provider(
        id=f"probe-{dialect.value}",
        dialect=dialect,
        base=base,
        key=key,
        key_ref=None,
        simulator=False,
        aggregator=False,
        slugs=MappingProxyType({}),
        output_limit=None,
        data_policy=UNKNOWN,
        policy_note="the probe's own upstream",
        inactive=None,
    )
    model = Model(name, _CONTEXT_TOKENS, 4096, ("text",), 8 if dialect is Dialect.OPENAI else None)
    endpoints = frozenset(endpoint for endpoint in Endpoint if ENDPOINT_DIALECT[endpoint] is dialect)
    route = Route(provider, base, key, name, dialect, endpoints, _FREE, UNKNOWN, model)
    object.__setattr__(model, "routes", (route,))  # as the catalog does: the two know each other
    return provider, model
