"""`GET /v1/models` in three dialects: what can be asked for in that dialect, natively or by translation, as far as the
account's data policy allows, each with its providers' data policies."""

from dataclasses import asdict

from router.errors import UnknownModel, encode
from router.providers.catalog import Catalog, Model, Price, Route
from router.providers.constraints import Constraints
from router.providers.data_policy import as_json
from router.providers.selection import exclusion, served_by
from router.providers.translation import can_translate
from router.surface import ENDPOINT_DIALECT, GATEWAY_PATHS, Dialect, Endpoint

# Models have no birthday here; clients want a date, so all have the epoch.
_CREATED = "1970-01-01T00:00:00Z"
_Serving = list[tuple[Route, frozenset[Endpoint]]]


def models(catalog: Catalog, constraints: Constraints, dialect: Dialect, name: str | None) -> bytes:
    """The list, or one entry when `name` is given. Raises UnknownModel, also for one that policy or dialect hides."""
    if name is not None:
        model = catalog.resolve(name)
        serving = _serving(model, constraints, dialect)
        if not serving:
            raise UnknownModel("There is no model of that name for this account's data policy here.", param="model")
        return encode(_entry(model, serving, dialect))
    found = [(model, _serving(model, constraints, dialect)) for model in catalog.models]
    entries = [_entry(model, serving, dialect) for model, serving in found if serving]
    if dialect is Dialect.GOOGLE:
        return encode({"models": entries})
    if dialect is Dialect.ANTHROPIC:
        first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
        return encode({"data": entries, "has_more": False, "first_id": first, "last_id": last})
    return encode({"object": "list", "data": entries})


def _serving(model: Model, constraints: Constraints, dialect: Dialect) -> _Serving:
    """The routes that may be asked in this dialect, each with the dialect's endpoints that it answers."""
    found = []
    for route in model.routes:
        answers = served_by(route, can_translate=can_translate)
        asked = frozenset(endpoint for endpoint in answers if ENDPOINT_DIALECT[endpoint] is dialect)
        if asked and exclusion(route, constraints) is None:
            found.append((route, asked))
    return found


def _entry(model: Model, serving: _Serving, dialect: Dialect) -> dict[str, object]:
    providers = [
        {
            "id": route.provider.id,
            "endpoints": sorted(endpoints),
            "data_policy": as_json(route.data_policy),
            "price_microcredits_per_million_tokens": _price(route.price),
        }
        for route, endpoints in serving
    ]
    if dialect is Dialect.GOOGLE:
        return {
            "name": f"models/{model.id}",
            "displayName": model.id,
            "inputTokenLimit": model.context_window,
            "outputTokenLimit": model.max_output_tokens,
            "supportedGenerationMethods": _methods(serving),
            "providers": providers,
        }
    if dialect is Dialect.ANTHROPIC:
        return {
            "type": "model",
            "id": model.id,
            "display_name": model.id,
            "created_at": _CREATED,
            "providers": providers,
        }
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": "valueapi",
        "context_window": model.context_window,
        "max_output_tokens": model.max_output_tokens,
        "capabilities": list(model.capabilities),
        "providers": providers,
    }


def _price(price: Price) -> dict[str, object]:
    """In the spelling of providers.yaml: `long_context` replaces every rate for the whole request."""
    shown: dict[str, object] = asdict(price.rates)
    if price.long is not None:
        shown["long_context"] = {"above_input_tokens": price.long_above, **asdict(price.long)}
    return shown


def _methods(serving: _Serving) -> list[str]:
    answered = frozenset[Endpoint]().union(*(endpoints for _, endpoints in serving))
    return [path.template.rpartition(":")[2] for endpoint, path in GATEWAY_PATHS.items() if endpoint in answered]
