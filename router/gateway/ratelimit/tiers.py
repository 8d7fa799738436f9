"""Tiers: how much an account and a key may ask a minute, as `limits.yaml` says."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from governance.errors import ConfigurationError
from router.gateway.ratelimit.buckets import KIND_NUMBER, Kind, Want


@dataclass(frozen=True, slots=True)
class Rates:
    """Limits of one bucket owner."""

    requests_per_minute: int
    tokens_per_minute: int


@dataclass(frozen=True, slots=True)
class Tier:
    """One tier of `limits.yaml`; `lifetime_top_up_microcredits_min` is what an account must have paid in so far."""

    name: str
    lifetime_top_up_microcredits_min: int
    account: Rates
    key: Rates

    def wants(self, account_cell: bytes, key_cell: bytes, tokens: int) -> list[Want]:
        """One request of `tokens` estimated tokens, as wants on the account's and the key's buckets.

        The two cells must differ: make them by `cell_key` with kinds of their own. A request larger than a whole
        bucket takes the whole bucket, or it could never be served.
        """
        return [
            Want(_kinded(cell, kind), limit, cost, kind)
            for cell, rates in ((account_cell, self.account), (key_cell, self.key))
            for kind, limit, cost in _costs(rates, tokens)
        ]


def _costs(rates: Rates, tokens: int) -> tuple[tuple[Kind, int, int], tuple[Kind, int, int]]:
    return ("requests", rates.requests_per_minute, 1), (
        "tokens",
        rates.tokens_per_minute,
        min(tokens, rates.tokens_per_minute),
    )


def _kinded(cell: bytes, kind: Kind) -> bytes:
    """Requests and tokens of one owner are two buckets: the last bit tells them apart."""
    return cell[:-1] + bytes([cell[-1] & 0xFE | KIND_NUMBER[kind]])


class Tiers:
    """All tiers, lowest first."""

    def __init__(self, tiers: Sequence[Tier]) -> None:
        """Raises `ConfigurationError` unless the first asks for nothing and each next for more, under unique names."""
        if not tiers or tiers[0].lifetime_top_up_microcredits_min != 0:
            raise ConfigurationError("rate limits: the first tier must have lifetime_top_up_microcredits_min 0")
        least = [tier.lifetime_top_up_microcredits_min for tier in tiers]
        if any(a >= b for a, b in pairwise(least)):
            raise ConfigurationError("rate limits: lifetime_top_up_microcredits_min must rise from tier to tier")
        self._by_name = {tier.name: tier for tier in tiers}
        if len(self._by_name) != len(tiers):
            raise ConfigurationError("rate limits: two tiers have the same name")

    @classmethod
    def load(cls, path: Path | None = None) -> "Tiers":
        """Read `path`, or the `limits.yaml` that ships. Raises `ConfigurationError`, which says what is wrong where."""
        path = path or Path(__file__).with_name("limits.yaml")
        try:
            read = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise ConfigurationError(f"rate limits: {path.name} can't be read as YAML with unique keys") from None
        rows = _fields(read, "the file", {"tiers": list})["tiers"]
        return cls([_tier(row, f"tiers[{at}]") for at, row in enumerate(rows)])

    def __iter__(self) -> Iterator[Tier]:
        return iter(self._by_name.values())

    def get(self, name: str) -> Tier:
        """Raises `ConfigurationError` for a name that no tier has."""
        if name not in self._by_name:
            raise ConfigurationError("rate limits: an account names a tier that the file doesn't have")
        return self._by_name[name]

    def for_top_up(self, lifetime_microcredits: int) -> Tier:
        """The highest tier that this much paid-in Credit reaches."""
        reached = [t for t in self._by_name.values() if t.lifetime_top_up_microcredits_min <= lifetime_microcredits]
        return reached[-1] if reached else next(iter(self._by_name.values()))


class _UniqueKeys(yaml.SafeLoader):
    """YAML keeps the last of two equal keys; a limit that is silently overridden is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        built = super().construct_mapping(node, deep=deep)
        if len(built) != len(node.value):
            raise yaml.constructor.ConstructorError(problem="a key stands twice")
        return built


def _fields(read: object, where: str, wanted: dict[str, type]) -> dict[str, Any]:
    if not isinstance(read, dict) or set(read) != set(wanted):
        raise ConfigurationError(f"rate limits: {where} must have exactly {', '.join(wanted)}")
    for name, kind in wanted.items():
        value = read[name]
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise ConfigurationError(f"rate limits: {where}.{name} must be of type {kind.__name__} and not negative")
    return read


def _tier(read: object, where: str) -> Tier:
    wanted = {"name": str, "lifetime_top_up_microcredits_min": int, "account": dict, "key": dict}
    row = _fields(read, where, wanted)
    return Tier(
        row["name"],
        row["lifetime_top_up_microcredits_min"],
        _rates(row["account"], f"{where}.account"),
        _rates(row["key"], f"{where}.key"),
    )


def _rates(read: object, where: str) -> Rates:
    row = _fields(read, where, {"requests_per_minute": int, "tokens_per_minute": int})
    return Rates(row["requests_per_minute"], row["tokens_per_minute"])
