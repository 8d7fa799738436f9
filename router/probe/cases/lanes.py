"""Ways through a gateway: each endpoint of a wire, streaming and not, with a model."""

from router.probe.case import Lane
from router.surface import Dialect, Endpoint

_STREAMING = {Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.RESPONSES, Endpoint.MESSAGES}
OF_WIRE: dict[Dialect, tuple[Endpoint, ...]] = {
    Dialect.OPENAI: (Endpoint.CHAT, Endpoint.COMPLETIONS, Endpoint.EMBEDDINGS, Endpoint.RESPONSES),
    Dialect.ANTHROPIC: (Endpoint.MESSAGES, Endpoint.COUNT_TOKENS),
    Dialect.GOOGLE: (Endpoint.GENERATE, Endpoint.STREAM_GENERATE, Endpoint.GOOGLE_COUNT_TOKENS),
}


def lanes(wire: Dialect, model: str, endpoints: tuple[Endpoint, ...] | None = None, prefix: str = "") -> list[Lane]:
    """The lanes of one wire for one model; `endpoints` where not all are wanted."""
    made = []
    for endpoint in endpoints or OF_WIRE[wire]:
        name = prefix + endpoint
        streams = endpoint is Endpoint.STREAM_GENERATE
        made.append(Lane(name, wire, endpoint, model, stream=streams))
        if streams:
            made.append(Lane(f"{name}-array", wire, endpoint, model, stream=True, json_array=True))
        if endpoint in _STREAMING:
            made.append(Lane(f"{name}-stream", wire, endpoint, model, stream=True))
    return made
