"""What a caller, key or account demands of the providers that may see its content, in OpenRouter's spelling.

openrouter.ai/docs/guides/routing/provider-selection names `data_collection`, `zdr`, `only`, `ignore`, `order` and
`allow_fallbacks`; `region`, `headquarters`, `certifications` and `max_retention_days` are ours. A constraint that we
don't understand is refused, since ignoring it would fail open.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from router.errors import InvalidRequest
from router.surface import Header

# OpenRouter's, and not offered here; named so that the refusal can name them without showing what was sent.
_NOT_OFFERED = (
    "sort",
    "quantizations",
    "require_parameters",
    "max_price",
    "enforce_distillable_text",
    "preferred_min_throughput",
    "preferred_max_latency",
)
_LIST_MAX = 64
_DAYS_MAX = 36_500
_PROVIDER = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_REGION = re.compile(r"[a-z0-9-]{2,32}")
_COUNTRY = re.compile(r"[A-Z]{2}")
_CERTIFICATION = re.compile(r"[a-z0-9]{2,32}")
_DAYS = re.compile(r"[0-9]{1,5}")
_FLAG = "true or false"
_PROVIDERS = f"list of at most {_LIST_MAX} provider names"


@dataclass(frozen=True, slots=True)
class Field:
    """One constraint as callers spell it: `kind` and `meaning` are printed, `read` gives `Constraints`' own type.

    `listed`: a header holds names separated by commas, and may be repeated.
    """

    kind: str
    meaning: str
    read: Callable[[object, str], object]
    listed: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Constraints:
    """None means *no constraint*; an empty set (from an intersection) excludes everyone.

    `region` holds where all processing must stay; `headquarters` are ISO 3166-1 countries; with `allow_fallbacks` off,
    only the providers in `order` may serve, or the first allowed one where there is no `order`.
    """

    data_collection: Literal["allow", "deny"] = "allow"
    zdr: bool = False
    only: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    order: tuple[str, ...] = ()
    region: frozenset[str] | None = None
    headquarters: frozenset[str] | None = None
    certifications: frozenset[str] = frozenset()
    max_retention_days: int | None = None
    allow_fallbacks: bool = True

    @property
    def named(self) -> frozenset[str] | None:
        """The only providers that may serve: `only`, and without fallbacks `order` as well. None: any."""
        if self.allow_fallbacks or not self.order:
            return self.only
        return frozenset(self.order) if self.only is None else self.only & frozenset(self.order)


NONE = Constraints()


def strictest(*constraints: Constraints) -> Constraints:
    """One set of constraints that admits only what each of them admits; give the most specific last.

    Deny wins, `zdr` is or, `only`, `region` and `headquarters` intersect, `ignore` and `certifications` unite, the
    least retention counts, `allow_fallbacks` is and. `order` is a wish, so the most specific one that names an allowed
    provider is taken.
    """
    only = _intersect(c.named for c in constraints)
    order: tuple[str, ...] = ()
    for wish in (c.order for c in reversed(constraints)):
        order = tuple(name for name in wish if only is None or name in only)
        if order:
            break
    days = [c.max_retention_days for c in constraints if c.max_retention_days is not None]
    return Constraints(
        data_collection="deny" if any(c.data_collection == "deny" for c in constraints) else "allow",
        zdr=any(c.zdr for c in constraints),
        only=only,
        ignore=frozenset().union(*(c.ignore for c in constraints)),
        order=order,
        region=_intersect(c.region for c in constraints),
        headquarters=_intersect(c.headquarters for c in constraints),
        certifications=frozenset().union(*(c.certifications for c in constraints)),
        max_retention_days=min(days) if days else None,
        allow_fallbacks=all(c.allow_fallbacks for c in constraints),
    )


def _intersect(sets: Iterable[frozenset[str] | None]) -> frozenset[str] | None:
    found: frozenset[str] | None = None
    for one in sets:
        if one is not None:
            found = one if found is None else found & one
    return found


def parse(value: object, *, where: str = "provider") -> Constraints:
    """From a request's `provider` object, already decoded from JSON. Raises InvalidRequest naming the field.

    null means *not given*. What was sent is never quoted: an unknown field is named by the nearest known one.
    """
    if value is None:
        return NONE
    if not isinstance(value, dict):
        raise InvalidRequest(f"`{where}` must be an object.", param=where)
    given: dict[str, object] = {}
    for name, content in value.items():
        if name not in FIELDS:
            raise _unknown(name, where)
        if content is not None:
            given[name] = FIELDS[name].read(content, f"{where}.{name}")
    return Constraints(**given)  # type: ignore[arg-type]  # each reader gives its field's type


def from_headers(headers: Iterable[tuple[bytes, bytes]]) -> Constraints:
    """From `x-valueapi-provider-…` request headers; lists are comma-separated and may be repeated (RFC 9110 5.3).

    Raises InvalidRequest naming the header: unknown, given twice, or with a value that isn't of its kind.
    """
    prefix = Header.CONSTRAINT_PREFIX
    texts: dict[str, list[str]] = {}
    for raw_name, raw_value in headers:
        name = raw_name.decode("latin-1").lower()
        if name.startswith(prefix):
            texts.setdefault(name.removeprefix(prefix), []).append(raw_value.decode("latin-1").strip())
    given: dict[str, object] = {}
    for suffix, values in texts.items():
        field = suffix.replace("-", "_")
        if field not in FIELDS or "_" in suffix:
            raise _unknown(field, prefix.removesuffix("-"), header=True)
        where = prefix + suffix
        if not FIELDS[field].listed and len(values) > 1:
            raise InvalidRequest(f"The header {where} is given twice.", param=where)
        given[field] = FIELDS[field].read(_from_text(field, values, where), where)
    return Constraints(**given)  # type: ignore[arg-type]  # each reader gives its field's type


def header(field: str) -> str:
    """The request header that stands for a field."""
    return Header.CONSTRAINT_PREFIX + field.replace("_", "-")


def as_dict(constraints: Constraints) -> dict[str, object]:
    """Only what is set, in a request's spelling; `parse` reads it back."""
    out: dict[str, object] = {}
    for name in FIELDS:
        value = getattr(constraints, name)
        if value != getattr(NONE, name):
            out[name] = sorted(value) if isinstance(value, frozenset) else list(value) if name == "order" else value
    return out


def _unknown(name: object, where: str, *, header: bool = False) -> InvalidRequest:
    """The field's own spelling could hold content, so only names of ours appear."""
    kind = "header" if header else "field"
    if isinstance(name, str) and name in _NOT_OFFERED:
        shown = f"{where}-{name.replace('_', '-')}" if header else f"{where}.{name}"
        return InvalidRequest(f"`{shown}` isn't offered here.", param=shown)
    near = difflib.get_close_matches(name[:64], FIELDS, n=1, cutoff=0.7) if isinstance(name, str) else []
    hint = f" (did you mean `{near[0]}`?)" if near else ""
    known = ", ".join(FIELDS)
    return InvalidRequest(f"`{where}` has an unknown {kind}{hint}; those known are {known}.", param=where)


def _from_text(field: str, values: list[str], where: str) -> object:
    if FIELDS[field].listed:
        return [part.strip() for value in values for part in value.split(",")]
    text = values[0].lower()
    if field == "data_collection":
        return text
    if field == "max_retention_days":
        return int(text) if _DAYS.fullmatch(text) else text
    if text not in ("true", "false"):
        raise InvalidRequest(f"`{where}` must be true or false.", param=where)
    return text == "true"


def _flag(value: object, where: str) -> bool:
    if not isinstance(value, bool):
        raise InvalidRequest(f"`{where}` must be true or false.", param=where)
    return value


def _collection(value: object, where: str) -> str:
    if value not in ("allow", "deny"):
        raise InvalidRequest(f"`{where}` must be allow or deny.", param=where)
    return str(value)


def _days(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _DAYS_MAX:
        raise InvalidRequest(f"`{where}` must be a number of days from 0 to {_DAYS_MAX}.", param=where)
    return value


def _names(value: object, where: str, form: re.Pattern[str], fold: Callable[[str], str]) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or len(items) > _LIST_MAX:
        raise InvalidRequest(f"`{where}` must be a list of at most {_LIST_MAX} names.", param=where)
    out: list[str] = []
    for item in items:
        name = fold(item) if isinstance(item, str) else ""
        if form.fullmatch(name) is None:
            raise InvalidRequest(f"`{where}` has an entry that isn't a name of its kind.", param=where)
        out.append(name)
    return tuple(dict.fromkeys(out))


def _some(names: tuple[str, ...], where: str) -> frozenset[str]:
    if not names:
        raise InvalidRequest(f"`{where}` must name at least one; leave it out for no constraint.", param=where)
    return frozenset(names)


def _fold_certification(name: str) -> str:
    """`SOC 2`, `soc-2` and `soc2` are one."""
    return re.sub(r"[ _./-]", "", name.lower())


FIELDS: Final[Mapping[str, Field]] = {
    "data_collection": Field(
        "`allow` or `deny`", "`deny`: only providers that don't train on what they see.", _collection
    ),
    "zdr": Field(
        _FLAG,
        "true: only with zero data retention. A cache is retention: a provider whose cache may outlive an hour, or isn't "
        "known, keeps.",
        _flag,
    ),
    "only": Field(
        _PROVIDERS,
        "Only these providers. An aggregator that is named stands for everyone behind it whom the other constraints allow; "
        "one that isn't gets nothing, whoever is behind it.",
        lambda value, where: _some(_names(value, where, _PROVIDER, str.lower), where),
        listed=True,
    ),
    "ignore": Field(
        _PROVIDERS,
        "Never these providers.",
        lambda value, where: frozenset(_names(value, where, _PROVIDER, str.lower)),
        listed=True,
    ),
    "order": Field(
        _PROVIDERS,
        "These first, in this order.",
        lambda value, where: _names(value, where, _PROVIDER, str.lower),
        listed=True,
    ),
    "region": Field(
        "list of regions, such as `eu`",
        "All processing stays in one of these.",
        lambda value, where: _some(_names(value, where, _REGION, str.lower), where),
        listed=True,
    ),
    "headquarters": Field(
        "list of ISO 3166-1 alpha-2 countries, such as `DE`",
        "The provider's seat is in one of these: whose law can compel it.",
        lambda value, where: _some(_names(value, where, _COUNTRY, str.upper), where),
        listed=True,
    ),
    "certifications": Field(
        "list of names, such as `soc2`; `SOC 2` and `soc-2` are the same",
        "The provider holds all of these.",
        lambda value, where: frozenset(_names(value, where, _CERTIFICATION, _fold_certification)),
        listed=True,
    ),
    "max_retention_days": Field(
        f"whole number from 0 to {_DAYS_MAX}", "Nothing is kept for longer, in a cache neither but for an hour.", _days
    ),
    "allow_fallbacks": Field(
        _FLAG, "false: only those in `order` may serve, or the first allowed one where there is no `order`.", _flag
    ),
}
