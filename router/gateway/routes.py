"""Which of the gateway's paths is this? One dictionary look-up for the common ones; templates for Google's."""

from dataclasses import dataclass
from urllib.parse import unquote

from router.surface import GATEWAY_PATHS, MODELS_PATH, NOT_OFFERED, Dialect, Endpoint

_EXACT: dict[str, Endpoint] = {
    path.template: endpoint for endpoint, path in GATEWAY_PATHS.items() if "{" not in path.template
}
_VERBS: dict[str, Endpoint] = {
    path.template.rpartition(":")[2]: endpoint for endpoint, path in GATEWAY_PATHS.items() if "{" in path.template
}
_PREFIXES = ("/v1/models/", "/v1beta/models/")
# JSON routes of ours under /v1 that answer problem+json and belong to the web application.
_OURS = ("/v1/account/", "/v1/privacy/", "/v1/receipts/")


@dataclass(frozen=True, slots=True)
class Match:
    """What a path asks for. Exactly one of `endpoint`, `models` and `refusal` is set."""

    dialect: Dialect
    endpoint: Endpoint | None = None
    model: str | None = None  # from the path: Google's verbs, or one entry of the models list
    models: bool = False
    refusal: str | None = None


_MATCHES = {
    path: Match(
        Dialect.ANTHROPIC if endpoint in (Endpoint.MESSAGES, Endpoint.COUNT_TOKENS) else Dialect.OPENAI, endpoint
    )
    for path, endpoint in _EXACT.items()
}
_MATCHES[MODELS_PATH.template] = Match(Dialect.OPENAI, models=True)
_MATCHES["/v1beta/models"] = Match(Dialect.GOOGLE, models=True)


def match(path: str) -> Match | None:
    """The gateway's route for a decoded path, or None where the path is not the gateway's.

    Every other path below `/v1/` and `/v1beta/` is the gateway's too: it answers 404 in the caller's dialect.
    """
    found = _MATCHES.get(path)
    if found is not None:
        return found
    if not path.startswith(("/v1/", "/v1beta/", "/upload/")) or path.startswith(_OURS):
        return None
    for prefix in _PREFIXES:
        if path.startswith(prefix):
            return _model_path(path.removeprefix(prefix), google=prefix == "/v1beta/models/")
    google = path.startswith(("/v1beta/", "/upload/"))
    dialect = Dialect.GOOGLE if google else Dialect.ANTHROPIC if path.startswith("/v1/messages/") else Dialect.OPENAI
    for prefix, why in NOT_OFFERED.items():
        if path == prefix or path.startswith(prefix + "/"):
            return Match(dialect, refusal=why)
    return Match(dialect, refusal="")


def _model_path(rest: str, *, google: bool) -> Match:
    name, colon, verb = rest.rpartition(":")
    if colon and verb in _VERBS and name:
        return Match(Dialect.GOOGLE, _VERBS[verb], model=unquote(name))
    return Match(Dialect.GOOGLE if google else Dialect.OPENAI, models=True, model=unquote(rest))
