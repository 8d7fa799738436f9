"""Which of the gateway's paths is this? One dictionary look-up for the common ones; templates for Google's."""

from dataclasses import dataclass
from urllib.parse import unquote

from router.surface import (
    ENDPOINT_DIALECT,
    GATEWAY_PATHS,
    GATEWAY_PREFIXES,
    GOOGLE_MODELS_PATH,
    JSON_PREFIXES,
    MODELS_PATH,
    NOT_OFFERED,
    Dialect,
    Endpoint,
)

MODELS = {MODELS_PATH.template: Dialect.OPENAI, GOOGLE_MODELS_PATH.template: Dialect.GOOGLE}
VERBS: dict[str, Endpoint] = {
    path.template.rpartition(":")[2]: endpoint for endpoint, path in GATEWAY_PATHS.items() if "{" in path.template
}
_GATEWAY = tuple(GATEWAY_PREFIXES)


@dataclass(frozen=True, slots=True, repr=False)
class Match:
    """What a path asks for. Exactly one of `endpoint`, `models` and `refusal` is set."""

    dialect: Dialect
    endpoint: Endpoint | None = None
    model: str | None = None  # from the path: Google's verbs, or one entry of the models list
    models: bool = False
    refusal: str | None = None


MATCHES = {
    path.template: Match(ENDPOINT_DIALECT[endpoint], endpoint)
    for endpoint, path in GATEWAY_PATHS.items()
    if "{" not in path.template
} | {path: Match(dialect, models=True) for path, dialect in MODELS.items()}


def match(path: str) -> Match | None:
    """The gateway's route for a decoded path, or None where the path is not the gateway's.

    Every other path below the gateway's prefixes is its too: it answers 404 in the caller's dialect.
    """
    found = MATCHES.get(path)
    if found is not None:
        return found
    if not path.startswith(_GATEWAY) or path.startswith(JSON_PREFIXES):
        return None
    for models, dialect in MODELS.items():
        if path.startswith(models + "/"):
            return _model_path(path.removeprefix(models + "/"), dialect)
    dialect = next(dialect for prefix, dialect in GATEWAY_PREFIXES.items() if path.startswith(prefix))
    for prefix, why in NOT_OFFERED.items():
        if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
            return Match(dialect, refusal=why)
    return Match(dialect, refusal="")


def _model_path(rest: str, dialect: Dialect) -> Match:
    name, colon, verb = rest.rpartition(":")
    if colon and verb in VERBS and name:
        return Match(Dialect.GOOGLE, VERBS[verb], model=unquote(name))
    return Match(dialect, models=True, model=unquote(rest))
