"""What providers would be told of an account, by requests that are made up and sent nowhere.

They go through `prepare` as any other: what it returns is what leaves.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import uuid4

from governance.bodies.body import Body
from router.accounts.principal import Principal
from router.errors import InvalidRequest
from router.gateway.call import Admitted, Call
from router.gateway.caller import Caller
from router.gateway.prepare import prepare
from router.providers.catalog import Catalog, Model, Route
from router.providers.constraints import Constraints
from router.providers.dialects import wire
from router.providers.scan import scan
from router.providers.selection import served_by
from router.providers.translation import can_translate
from router.surface import ENDPOINT_DIALECT, Endpoint

_PSEUDONYM: Final = re.compile(rb"va-[0-9a-f]{32}")
_NEVER: Final = cast(Any, None)  # what was counted and set aside; `prepare` asks for neither


@dataclass(frozen=True, slots=True)
class Told:
    """One request for one provider. `pseudonyms` that stand in it; `held`: names of what was sought and is in it."""

    provider: str
    pseudonyms: frozenset[str]
    held: frozenset[str]


def told(catalog: Catalog, principal: Principal, key: bytes, sought: Mapping[str, bytes]) -> Iterator[Told]:
    """One for each provider and each way to ask it. The caller names themselves by everything that is sought, in the
    fields that are for that."""
    for model in catalog.models:
        for route in model.routes:
            for endpoint, body in _requests(model, sought.values()):
                if endpoint in served_by(route, can_translate=can_translate):
                    yield from _told(principal, model, route, endpoint, body, key, sought)


def _requests(model: Model, names: Iterable[bytes]) -> Iterator[tuple[Endpoint, dict[str, Any]]]:
    me = " ".join(name.decode("latin-1") for name in names)
    words = [{"role": "user", "content": "Hello"}]
    yield Endpoint.CHAT, {"model": model.id, "messages": words, "user": me, "safety_identifier": me}
    yield Endpoint.RESPONSES, {"model": model.id, "input": "Hello", "user": me, "prompt_cache_key": me}
    yield Endpoint.MESSAGES, {"model": model.id, "messages": words, "max_tokens": 9, "metadata": {"user_id": me}}
    yield Endpoint.GENERATE, {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}


def _told(
    principal: Principal, model: Model, route: Route, endpoint: Endpoint, body: dict[str, Any], key: bytes,
    sought: Mapping[str, bytes],
) -> Iterator[Told]:  # fmt: skip
    try:
        prepared = prepare(_admitted(principal, model, route, endpoint, body), route, key)
    except InvalidRequest:  # an aggregator takes less; then nothing is sent
        return
    left = b"\n".join(
        (prepared.url.encode(), *(part for header in prepared.headers for part in header), prepared.body.expose())
    )
    pseudonyms = frozenset(found.decode() for found in _PSEUDONYM.findall(left))
    yield Told(route.provider.id, pseudonyms, frozenset(name for name, value in sought.items() if value in left))


def _admitted(principal: Principal, model: Model, route: Route, endpoint: Endpoint, body: dict[str, Any]) -> Admitted:
    dialect = ENDPOINT_DIALECT[endpoint]
    spoken = wire(dialect)
    data = Body(json.dumps(body).encode())
    scanned = scan(data.expose(), spoken.GOVERNED)
    path_model = None if "model" in body else model.id
    peek = spoken.peek(endpoint, scanned, {"model": model.id} if path_model is not None else {})
    call = Call(
        uuid4(), "", dialect, endpoint, path_model, False, Caller(), None, principal, data, time.perf_counter_ns()
    )  # fmt: skip
    return Admitted(
        call, scanned, peek, {}, model, [route], Constraints(), False, False, 0, 0, False, [], _NEVER, _NEVER
    )  # fmt: skip
