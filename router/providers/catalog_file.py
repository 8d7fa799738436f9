"""The form of `providers.yaml`: strict models, and a reader whose refusals name the file and the field.

Values of the file are never quoted in an error: somebody may have pasted a key.
"""

import json
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from governance.errors import ConfigurationError
from router.providers.data_policy import PASSING_CACHE_SECONDS
from router.providers.secrets import KeyRef
from router.surface import Dialect, Endpoint

FILE_BYTES_MAX = 4 * 1024 * 1024

ProviderId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
ModelId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/=,@+-]{0,127}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{2,32}$")]
Country = Annotated[str, StringConstraints(pattern=r"^[A-Z]{2}$")]  # ISO 3166-1 alpha-2
Certification = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]{2,32}$")]
HttpsUrl = Annotated[str, StringConstraints(pattern=r"^https://[!-~]+$", max_length=512)]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*$", max_length=300)]
# A price above 1,000,000 Credits per million tokens is a slip of the pen.
MicrocreditsPerMillion = Annotated[int, Field(ge=0, le=1_000_000_000_000)]
Tokens = Annotated[int, Field(ge=1, le=100_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PolicySpec(_Strict):
    """A declared data policy, and the host and credential that it was declared for.

    Of an aggregator it is its own; but its cache is what those behind it may have while `zdr` is sent on.
    """

    host: Annotated[str, StringConstraints(pattern=r"^[a-z0-9._:\[\]-]+$")]
    credential: KeyRef | None = None
    trains: bool | Literal["unknown"]
    retention_days: Annotated[int, Field(ge=0, le=36_500)] | Literal["unknown"]
    retention_reason: Line = ""
    zdr: bool
    caches_prompts: bool | Literal["unknown"]
    cache_ttl_seconds: Annotated[int, Field(ge=0)] | None = None
    regions: tuple[Region, ...] = ()
    headquarters: Country | None = None
    certifications: tuple[Certification, ...] | Literal["unknown"] = "unknown"
    policy_url: HttpsUrl
    transfer_mechanism: Line = ""
    checked: date

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.zdr and (self.retention_days != 0 or self.trains is not False):
            raise ValueError("zdr: true needs retention_days: 0 and trains: false")
        if self.retention_days not in (0, "unknown") and not self.retention_reason:
            raise ValueError("retention_days needs a retention_reason")
        if self.caches_prompts is True and self.cache_ttl_seconds is None:
            raise ValueError("caches_prompts: true needs cache_ttl_seconds")
        passes = (self.cache_ttl_seconds or 0) <= PASSING_CACHE_SECONDS
        if self.zdr and (self.caches_prompts == "unknown" or (self.caches_prompts and not passes)):
            raise ValueError(
                f"zdr: true needs caches_prompts: false, or a cache_ttl_seconds of at most {PASSING_CACHE_SECONDS}"
            )
        return self


class ProviderSpec(_Strict):
    """An upstream: a real one with `base_url` and `key`, or `simulator: true`, whose address is given at start."""

    dialect: Dialect
    base_url: Annotated[str, StringConstraints(max_length=512)] | None = None
    key: KeyRef | None = None
    simulator: bool = False
    aggregator: bool = False
    # Our provider ids in the aggregator's own spelling, so that `ignore` can be sent on.
    slugs: dict[ProviderId, tuple[ProviderId, ...]] = {}
    # The only one of a chat's two output limits that it honours, where it doesn't honour both.
    output_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    data_policy: PolicySpec | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.simulator and (self.base_url is not None or self.key is not None or self.aggregator):
            raise ValueError("simulator: true takes no base_url, key or aggregator")
        if not self.simulator and self.base_url is None:
            raise ValueError("base_url is missing")
        if not self.simulator and self.key is None:
            raise ValueError("key is missing")
        if self.aggregator and self.dialect is not Dialect.OPENAI:
            raise ValueError("aggregator: true needs dialect: openai, where constraints can be sent on")
        if self.output_limit is not None and self.dialect is not Dialect.OPENAI:
            raise ValueError("output_limit is for dialect: openai, which has two names for it")
        if self.slugs and not self.aggregator:
            raise ValueError("slugs are for an aggregator")
        return self


class LongContextSpec(_Strict):
    """Prices of the *whole* request once its input is longer than `above_input_tokens`."""

    above_input_tokens: Tokens
    input: MicrocreditsPerMillion
    cached_input: MicrocreditsPerMillion
    cache_write: MicrocreditsPerMillion | None = None
    output: MicrocreditsPerMillion


class PriceSpec(_Strict):
    """Micro-credits per million tokens; 1 Credit is 1,000,000 micro-credits. Cache writes cost as input by default."""

    input: MicrocreditsPerMillion
    cached_input: MicrocreditsPerMillion
    cache_write: MicrocreditsPerMillion | None = None
    output: MicrocreditsPerMillion
    long_context: LongContextSpec | None = None


class RouteSpec(_Strict):
    """One provider that serves the model, under its own name for it; the order in the file is the order of trying."""

    provider: ProviderId
    model: ModelId
    endpoints: Annotated[tuple[Endpoint, ...], Field(min_length=1)]
    price: PriceSpec


class ModelSpec(_Strict):
    """A public model."""

    id: ModelId
    context_window: Tokens
    max_output_tokens: Tokens
    capabilities: tuple[Annotated[str, StringConstraints(pattern=r"^[a-z_]{2,32}$")], ...] = ()
    # Of an embedding, where the request asks for no other number.
    dimensions: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    providers: Annotated[tuple[RouteSpec, ...], Field(min_length=1)]


class CatalogSpec(_Strict):
    """The whole file."""

    providers: dict[ProviderId, ProviderSpec]
    models: Annotated[tuple[ModelSpec, ...], Field(min_length=1)]


class _Loader(yaml.SafeLoader):
    """YAML's own loader lets the last of two equal keys win: a second `zdr` would overrule the first unseen."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(problem="key given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        made: dict[object, object] = super().construct_mapping(node, deep)
        return made


def read(path: Path) -> CatalogSpec:
    """Parse and check the file. Raises ConfigurationError naming the file and the field, or the line."""
    name = path.name
    try:
        with path.open("rb") as handle:
            data = handle.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError(f"{name}: can't be read ({error.strerror})") from None
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{name}: longer than {FILE_BYTES_MAX} bytes")
    try:
        loaded = yaml.load(data, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        # Only the place: YAML's own text shows the line itself.
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}" if mark else "somewhere"
        what = "a key is given twice" if error.problem == "key given twice" else "not valid YAML"
        raise ConfigurationError(f"{name}: {what} at {where}") from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise ConfigurationError(f"{name}: not valid YAML") from None
    try:
        # Through JSON, where strict mode still takes texts for dates and names, and lists for tuples.
        return CatalogSpec.model_validate_json(json.dumps(loaded, default=str))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{name}: {place}: {first['msg'].removeprefix('Value error, ')}") from None
    except (TypeError, ValueError, RecursionError):
        raise ConfigurationError(f"{name}: holds something that isn't plain data") from None
