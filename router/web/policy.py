"""The account's data policy: how it is stored (constraints and `allow_store`), and as a form.

Names of providers are checked against the catalog: a misspelt `ignore` would exclude nobody and look as if it did.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from router.errors import InvalidRequest
from router.providers import constraints
from router.providers.catalog import Catalog
from router.providers.constraints import Constraints
from router.providers.selection import exclusion
from router.web.forms import Form

_STORE = "allow_store"
_LISTS = ("region", "headquarters", "certifications", "only", "ignore")


def read(value: Mapping[str, object], catalog: Catalog) -> dict[str, Any]:
    """What to store, from constraints with `allow_store` beside them. Raises InvalidRequest naming the field."""
    rest = dict(value)
    # Left out of a key's policy it leaves the account's choice alone; an account's own is false until it says true.
    store = {_STORE: rest.pop(_STORE)} if _STORE in rest else {}
    if not all(isinstance(value, bool) for value in store.values()):
        raise InvalidRequest("`allow_store` must be true or false.", param=_STORE)
    parsed = constraints.parse(rest, where="data_policy")
    _check_names(parsed, catalog)
    return constraints.as_dict(parsed) | store


def split(stored: Mapping[str, object] | None) -> tuple[Constraints, bool]:
    """Constraints and `allow_store` of a stored policy. Raises InvalidRequest where another version wrote it."""
    rest = dict(stored or {})
    store = rest.pop(_STORE, False)
    return constraints.parse(rest, where="data_policy"), store is True


def shown(stored: Mapping[str, object] | None) -> dict[str, object]:
    """A stored policy as the API shows it; `allow_store` always stands there."""
    parsed, store = split(stored)
    return constraints.as_dict(parsed) | {_STORE: store}


def from_form(form: Form) -> dict[str, object]:
    """The form's fields in a request's spelling, for `read`."""
    value: dict[str, object] = {
        "data_collection": "deny" if form.ticked("deny_collection") else "allow",
        "zdr": form.ticked("zdr"),
        "allow_fallbacks": form.ticked("allow_fallbacks"),
        _STORE: form.ticked(_STORE),
    }
    for name in _LISTS:
        if form.all(name):
            value[name] = form.all(name)
    order = [part.strip() for part in form.text("order").split(",") if part.strip()]
    if order:
        value["order"] = order
    days = form.text("max_retention_days").strip()
    if days:
        if not days.isascii() or not days.isdigit():
            raise InvalidRequest("The days must be a whole number.", param="max_retention_days")
        value["max_retention_days"] = int(days[:9])
    return value


def options(catalog: Catalog, policy: Constraints) -> dict[str, list[str]]:
    """What the form offers to tick: all that the catalog knows, and whatever is ticked already."""
    policies = [provider.data_policy for provider in catalog.providers]
    return {
        "region": _merged((region for p in policies for region in p.regions), policy.region),
        "headquarters": _merged((p.headquarters for p in policies if p.headquarters), policy.headquarters),
        "certifications": _merged((name for p in policies for name in p.certifications or ()), policy.certifications),
        "providers": _merged(_known(catalog), policy.ignore | (policy.only or frozenset())),
    }


def allowed(catalog: Catalog, policy: Constraints) -> list[dict[str, object]]:
    """Each model with its providers, and the rule that excludes one (None where it is allowed)."""
    return [
        {"id": model.id, "providers": [(route.provider.id, exclusion(route, policy)) for route in model.routes]}
        for model in catalog.models
    ]


def _known(catalog: Catalog) -> frozenset[str]:
    own = {provider.id for provider in catalog.providers}
    return frozenset(own.union(*(provider.slugs for provider in catalog.providers)))


def _check_names(policy: Constraints, catalog: Catalog) -> None:
    known = _known(catalog)
    for field, names in (("only", policy.only or ()), ("ignore", policy.ignore), ("order", policy.order)):
        if any(name not in known for name in names):
            raise InvalidRequest(
                f"`{field}` names a provider that isn't known here; those known are {', '.join(sorted(known))}.",
                param=field,
            )


def _merged(known: Iterable[str], chosen: Iterable[str] | None) -> list[str]:
    return sorted({*known, *(chosen or ())})
