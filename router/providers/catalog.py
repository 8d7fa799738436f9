"""Providers and models as configured: read once at start, immutable afterwards.

A data policy belongs to the exact host and credential it was declared for: anything else makes it unknown. A provider
whose key can't be resolved is inactive and says why; a model without an active provider isn't offered.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from governance.errors import ConfigurationError
from router.errors import UnknownModel
from router.providers import base_url
from router.providers.base_url import BaseUrl
from router.providers.catalog_file import (
    CatalogSpec,
    LongContextSpec,
    ModelSpec,
    PolicySpec,
    PriceSpec,
    ProviderSpec,
    RouteSpec,
    read,
)
from router.providers.data_policy import UNKNOWN, DataPolicy
from router.providers.secrets import KeyRef, KeyUnresolved, Secret, resolve
from router.providers.usage import Usage
from router.surface import ENDPOINT_DIALECT, Dialect, Endpoint

SHIPPED = Path(__file__).with_name("providers.yaml")
# What a data policy names as its host when it is declared for the simulator, whose port changes.
SIMULATOR_HOST = "simulator"
_MILLION = 1_000_000
_NOTHING: Mapping[str, object] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rates:
    """Micro-credits per million tokens."""

    input: int
    cached_input: int
    output: int
    cache_write: int


@dataclass(frozen=True, slots=True)
class Price:
    """A route's price. Rounding, everywhere the same: exact integers are summed over the kinds of tokens, and the
    sum is divided by one million and rounded *up* once. A request is never rounded twice and never charged in parts.

    `long` replaces all rates for the whole request once its input tokens are more than `long_above`.
    """

    rates: Rates
    long: Rates | None = None
    long_above: int = 0

    def charge_microcredits(self, usage: Usage) -> int:
        """What the request costs. Negative counts are taken as 0, cached ones as at most the whole input."""
        total = max(0, usage.input_tokens)
        cached = min(max(0, usage.cached_input_tokens), total)
        written = min(max(0, usage.cache_write_tokens), total - cached)
        rates = self._rates(total)
        exact = (total - cached - written) * rates.input + cached * rates.cached_input + written * rates.cache_write
        return _ceil_million(exact + max(0, usage.output_tokens) * rates.output)

    def reserve_microcredits(self, input_tokens: int, output_tokens: int) -> int:
        """At least what any usage within these token counts can cost: every input token may be of the dearest kind."""
        rates = [self.rates]
        if self.long is not None and input_tokens > self.long_above:
            # Both, since fewer input tokens than estimated fall under the usual rates.
            rates.append(self.long)
        return max(
            _ceil_million(
                max(0, input_tokens) * max(r.input, r.cached_input, r.cache_write) + max(0, output_tokens) * r.output
            )
            for r in rates
        )

    def _rates(self, input_tokens: int) -> Rates:
        return self.long if self.long is not None and input_tokens > self.long_above else self.rates


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """An upstream. `key` is None exactly where `inactive` says why it can't be used."""

    id: str
    dialect: Dialect
    base: BaseUrl | None
    key: Secret | None
    key_ref: KeyRef | None
    simulator: bool
    aggregator: bool
    slugs: Mapping[str, tuple[str, ...]]
    output_limit: str | None
    data_policy: DataPolicy
    policy_note: str
    inactive: str | None

    @property
    def active(self) -> bool:
        return self.inactive is None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One way to serve a model. `data_policy` is what holds *on this route*: whom an aggregator passes content on to is
    unknown, unless `forward_constraints` (set by `selection.select`) binds it.
    """

    provider: Provider
    base: BaseUrl
    key: Secret
    upstream_model: str
    dialect: Dialect
    endpoints: frozenset[Endpoint]
    price: Price
    data_policy: DataPolicy
    model: "Model" = field(repr=False)
    forward_constraints: Mapping[str, object] = field(default_factory=lambda: _NOTHING)

    def url(self, path: str) -> str:
        """The upstream URL of a canonical path such as `/v1/chat/completions` or `/v1beta/models/M:generateContent`."""
        return self.base.url(path)


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A public model and its routes in the file's order."""

    id: str
    context_window: int
    max_output_tokens: int
    capabilities: tuple[str, ...]
    dimensions: int | None = None
    routes: tuple[Route, ...] = field(default=(), repr=False)


class Catalog:
    """`providers`: all that are declared, active or not; `models`: those with an active one, in the file's order."""

    def __init__(self, providers: tuple[Provider, ...], models: tuple[Model, ...], bare: Mapping[str, str]) -> None:
        self.providers = providers
        self.models = models
        self._by_name = {model.id: model for model in models}
        for name, model_id in bare.items():
            if model_id in self._by_name:
                self._by_name.setdefault(name, self._by_name[model_id])

    @classmethod
    def load(
        cls,
        path: Path | None,
        *,
        production: bool,
        allow_insecure: bool,
        simulator_url: str | None,
        resolve_key: Callable[[KeyRef], Secret] = resolve,
    ) -> "Catalog":
        """Read the file (None is the shipped one) and resolve its keys; blocks while it does.

        Raises ConfigurationError naming file and field. A key that can't be resolved is none: see `Provider.inactive`.
        """
        source = SHIPPED if path is None else path
        spec = read(source)
        name = source.name
        secure_only = production and not allow_insecure
        providers = {
            provider_id: _provider(name, provider_id, entry, secure_only, simulator_url, resolve_key)
            for provider_id, entry in spec.providers.items()
        }
        models = _models(name, spec, providers)
        return cls(tuple(providers.values()), models, _bare_names(spec))

    def names(self) -> set[str]:
        """Every name that a record may hold: of models, ours and upstream's, and of providers."""
        upstream = {route.upstream_model for model in self.models for route in model.routes}
        return {*self._by_name, *upstream, *(provider.id for provider in self.providers)}

    def resolve(self, name: str) -> Model:
        """By public id, or by an upstream's own name where only one model has it. Raises UnknownModel.

        The asked name isn't shown back: people have put prompts there.
        """
        # Google's clients may write `models/NAME`.
        model = self._by_name.get(name) or self._by_name.get(name.removeprefix("models/"))
        if model is None:
            raise UnknownModel("There is no model of that name here; GET /v1/models lists them.", param="model")
        return model


def _ceil_million(exact: int) -> int:
    return -(-exact // _MILLION)


def _provider(
    file: str,
    provider_id: str,
    spec: ProviderSpec,
    secure_only: bool,
    simulator_url: str | None,
    resolve_key: Callable[[KeyRef], Secret],
) -> Provider:
    where = f"{file}: providers.{provider_id}.base_url"
    text = spec.base_url
    if spec.simulator:
        where, text = "simulator_url", simulator_url
    base = None
    if text is not None:
        try:
            base = base_url.parse(text, spec.dialect)
        except ValueError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        if secure_only and base.insecure:
            raise ConfigurationError(
                f"{where}: plain http or this machine itself, which production mode refuses; "
                "set VALUEAPI_ALLOW_INSECURE_UPSTREAMS if that is meant"
            )
    key, inactive = _key(spec, base, resolve_key)
    policy, note = _policy(spec, base)
    return Provider(
        id=provider_id,
        dialect=spec.dialect,
        base=base,
        key=key,
        key_ref=spec.key,
        simulator=spec.simulator,
        aggregator=spec.aggregator,
        slugs=MappingProxyType(dict(spec.slugs)),
        output_limit=spec.output_limit,
        data_policy=policy,
        policy_note=note,
        inactive=inactive,
    )


def _key(
    spec: ProviderSpec, base: BaseUrl | None, resolve_key: Callable[[KeyRef], Secret]
) -> tuple[Secret | None, str | None]:
    if spec.simulator:
        return (Secret("simulator"), None) if base is not None else (None, "the simulator is off")
    assert spec.key is not None  # ProviderSpec holds it
    try:
        return resolve_key(spec.key), None
    except KeyUnresolved as error:
        return None, f"{spec.key}: {error}"


def _policy(spec: ProviderSpec, base: BaseUrl | None) -> tuple[DataPolicy, str]:
    """The declared policy, or UNKNOWN and why."""
    declared = spec.data_policy
    if declared is None:
        return UNKNOWN, "no data policy is declared"
    if spec.simulator:
        if declared.host != SIMULATOR_HOST or declared.credential is not None:
            return UNKNOWN, "the data policy was declared for another host than the simulator"
        if base is not None and not base.loopback:
            return UNKNOWN, "the simulator doesn't run on this machine"
        return _declared(declared), ""
    if base is None or declared.host != base.authority:
        return UNKNOWN, "the data policy was declared for another host"
    if declared.credential != spec.key:
        return UNKNOWN, "the data policy was declared for another credential"
    return _declared(declared), ""


def _declared(spec: PolicySpec) -> DataPolicy:
    return DataPolicy(
        known=True,
        trains=None if spec.trains == "unknown" else spec.trains,
        retention_days=None if spec.retention_days == "unknown" else spec.retention_days,
        retention_reason=spec.retention_reason,
        zdr=spec.zdr,
        caches_prompts=None if spec.caches_prompts == "unknown" else spec.caches_prompts,
        cache_ttl_seconds=spec.cache_ttl_seconds,
        regions=spec.regions,
        headquarters=spec.headquarters,
        certifications=None if spec.certifications == "unknown" else spec.certifications,
        policy_url=spec.policy_url,
        transfer_mechanism=spec.transfer_mechanism,
        checked=spec.checked,
    )


def downstream_unknown(own: DataPolicy) -> DataPolicy:
    """Of an aggregator's route: it may hand content to anyone, so only what binds the others counts."""
    return replace(
        own,
        trains=None,
        retention_days=None,
        retention_reason="depends on the provider that the aggregator picks",
        zdr=False,
        caches_prompts=None,
        cache_ttl_seconds=None,
        regions=(),
        headquarters=None,
        certifications=None,
    )


def _models(file: str, spec: CatalogSpec, providers: Mapping[str, Provider]) -> tuple[Model, ...]:
    made: list[Model] = []
    seen: set[str] = set()
    for position, entry in enumerate(spec.models):
        where = f"{file}: models.{position}"
        if entry.id in seen:
            raise ConfigurationError(f"{where}.id: {entry.id} is given twice")
        seen.add(entry.id)
        model = Model(entry.id, entry.context_window, entry.max_output_tokens, entry.capabilities, entry.dimensions)
        routes = tuple(_routes(where, entry, providers, model))
        if routes:
            # Model and Route know each other: this is the one moment where the model isn't finished.
            object.__setattr__(model, "routes", routes)
            made.append(model)
    return tuple(made)


def _routes(where: str, entry: ModelSpec, providers: Mapping[str, Provider], model: Model) -> list[Route]:
    out: list[Route] = []
    named: set[str] = set()
    for position, route in enumerate(entry.providers):
        provider = providers.get(route.provider)
        if provider is None:
            raise ConfigurationError(f"{where}.providers.{position}.provider: {route.provider} is not declared")
        if route.provider in named:
            raise ConfigurationError(f"{where}.providers.{position}.provider: {route.provider} is given twice")
        named.add(route.provider)
        _check_endpoints(f"{where}.providers.{position}.endpoints", route, provider.dialect)
        if provider.base is not None and provider.key is not None:
            out.append(_route(route, provider, provider.base, provider.key, model))
    return out


def _check_endpoints(where: str, route: RouteSpec, dialect: Dialect) -> None:
    for endpoint in route.endpoints:
        if ENDPOINT_DIALECT[endpoint] is not dialect:
            raise ConfigurationError(f"{where}: {endpoint} is not part of dialect {dialect}")


def _route(spec: RouteSpec, provider: Provider, base: BaseUrl, key: Secret, model: Model) -> Route:
    return Route(
        provider=provider,
        base=base,
        key=key,
        upstream_model=spec.model,
        dialect=provider.dialect,
        endpoints=frozenset(spec.endpoints),
        price=_price(spec.price),
        data_policy=downstream_unknown(provider.data_policy) if provider.aggregator else provider.data_policy,
        model=model,
    )


def _price(spec: PriceSpec) -> Price:
    long = spec.long_context
    return Price(_rates(spec), _rates(long) if long else None, long.above_input_tokens if long else 0)


def _rates(spec: PriceSpec | LongContextSpec) -> Rates:
    return Rates(
        spec.input, spec.cached_input, spec.output, spec.input if spec.cache_write is None else spec.cache_write
    )


def _bare_names(spec: CatalogSpec) -> dict[str, str]:
    """Upstream names that mean one model only, over all declared ones, so that no key's absence changes a meaning."""
    owners: dict[str, set[str]] = {}
    for model in spec.models:
        for route in model.providers:
            owners.setdefault(route.model, set()).add(model.id)
    ids = {model.id for model in spec.models}
    return {name: next(iter(owner)) for name, owner in owners.items() if len(owner) == 1 and name not in ids}
