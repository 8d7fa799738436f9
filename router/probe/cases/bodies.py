"""A good request of each endpoint, with canaries where content stands; other cases are made from these."""

import json
from typing import Any
from urllib.parse import quote

from router.probe.canaries import Marks
from router.probe.case import Lane, Request
from router.surface import GATEWAY_PATHS, Dialect, Endpoint

Body = dict[str, Any]
JSON = (b"content-type", b"application/json")
_MAX_TOKENS = 256
CONTENT = "content"  # one canary for all of a good body's texts: where the field matters, it is a case of its own


def target(lane: Lane, model: str | None = None) -> str:
    """Path and query of the lane; a Gemini model stands in the path."""
    path = GATEWAY_PATHS[lane.endpoint].at(model=quote(model or lane.model, safe="/:@"))
    return f"{path}?alt=sse" if lane.endpoint is Endpoint.STREAM_GENERATE and not lane.json_array else path


def body(lane: Lane, marks: Marks) -> Body:
    """The least that the endpoint takes, plus a system text."""
    made: Body = _BODIES[lane.endpoint](marks)
    if lane.wire is not Dialect.GOOGLE:
        made = {"model": lane.model, **made}
        if lane.stream:
            made["stream"] = True
    return made


def request(lane: Lane, given: Body | bytes, **changes: Any) -> Request:
    """That body, posted."""
    data = given if isinstance(given, bytes) else json.dumps(given).encode()
    headers = (JSON, *changes.pop("headers", ()))
    return Request(target=target(lane).encode(), headers=headers, body=data, **changes)


def good(lane: Lane, marks: Marks, **changes: Any) -> Request:
    return request(lane, body(lane, marks), **changes)


def _chat(marks: Marks) -> Body:
    return {
        "max_tokens": _MAX_TOKENS,
        "messages": [
            {"role": "system", "content": f"Be brief. {marks.prompt(CONTENT)}"},
            {"role": "user", "content": f"Repeat: {marks.prompt(CONTENT)} and no more."},
        ],
    }


def _completions(marks: Marks) -> Body:
    return {"max_tokens": _MAX_TOKENS, "prompt": f"Once upon {marks.prompt(CONTENT)} a time"}


def _embeddings(marks: Marks) -> Body:
    return {"input": [f"One text {marks.prompt(CONTENT)}", f"another {marks.prompt(CONTENT)}"]}


def _responses(marks: Marks) -> Body:
    return {
        "max_output_tokens": _MAX_TOKENS,
        "instructions": f"Be brief. {marks.prompt(CONTENT)}",
        "input": f"Repeat: {marks.prompt(CONTENT)}",
    }


def _count_tokens(marks: Marks) -> Body:
    return {
        "system": f"Be brief. {marks.prompt(CONTENT)}",
        "messages": [{"role": "user", "content": f"Repeat: {marks.prompt(CONTENT)} and no more."}],
    }


def _messages(marks: Marks) -> Body:
    return {"max_tokens": _MAX_TOKENS, **_count_tokens(marks)}


def _google_count(marks: Marks) -> Body:
    return {"contents": [{"role": "user", "parts": [{"text": f"Repeat: {marks.prompt(CONTENT)} and no more."}]}]}


def _generate(marks: Marks) -> Body:
    return {
        "systemInstruction": {"parts": [{"text": f"Be brief. {marks.prompt(CONTENT)}"}]},
        "generationConfig": {"maxOutputTokens": _MAX_TOKENS},
        **_google_count(marks),
    }


_BODIES = {
    Endpoint.CHAT: _chat,
    Endpoint.COMPLETIONS: _completions,
    Endpoint.EMBEDDINGS: _embeddings,
    Endpoint.RESPONSES: _responses,
    Endpoint.MESSAGES: _messages,
    Endpoint.COUNT_TOKENS: _count_tokens,
    Endpoint.GENERATE: _generate,
    Endpoint.STREAM_GENERATE: _generate,
    Endpoint.GOOGLE_COUNT_TOKENS: _google_count,
}
