"""`GET /v1/models` in three dialects: what the account's data policy allows, each with its providers' data policies."""

from router.errors import UnknownModel, encode
from router.providers.catalog import Catalog, Model
from router.providers.constraints import Constraints
from router.providers.data_policy import as_json
from router.providers.selection import allowed_somewhere, exclusion
from router.surface import Dialect

# Models have no birthday here; clients want a date, so all have the epoch.
_CREATED = "1970-01-01T00:00:00Z"


def models(catalog: Catalog, constraints: Constraints, dialect: Dialect, name: str | None) -> bytes:
    """The list, or one entry when `name` is given. Raises UnknownModel, also for one that the policy hides."""
    visible = [model for model in catalog.models if allowed_somewhere(model, constraints)]
    if name is not None:
        model = catalog.resolve(name)
        if model not in visible:
            raise UnknownModel("There is no model of that name for this account's data policy.", param="model")
        return encode(_entry(model, constraints, dialect))
    entries = [_entry(model, constraints, dialect) for model in visible]
    if dialect is Dialect.GOOGLE:
        return encode({"models": entries})
    if dialect is Dialect.ANTHROPIC:
        first, last = (entries[0]["id"], entries[-1]["id"]) if entries else (None, None)
        return encode({"data": entries, "has_more": False, "first_id": first, "last_id": last})
    return encode({"object": "list", "data": entries})


def _entry(model: Model, constraints: Constraints, dialect: Dialect) -> dict[str, object]:
    providers = [
        {
            "id": route.provider.id,
            "endpoints": sorted(route.endpoints),
            "data_policy": as_json(route.data_policy),
            "price_microcredits_per_million_tokens": {
                "input": route.price.rates.input,
                "cached_input": route.price.rates.cached_input,
                "output": route.price.rates.output,
            },
        }
        for route in model.routes
        if exclusion(route, constraints) is None
    ]
    if dialect is Dialect.GOOGLE:
        return {
            "name": f"models/{model.id}",
            "displayName": model.id,
            "inputTokenLimit": model.context_window,
            "outputTokenLimit": model.max_output_tokens,
            "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
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
