"""The bytes that one provider gets: the caller's own with the published edits spliced in, or a translation."""

from dataclasses import dataclass

from governance.bodies.body import Body
from router.gateway.call import Admitted
from router.providers import edits
from router.providers.catalog import Route
from router.providers.dialects import aggregated, wire
from router.providers.edits import Policy
from router.providers.pseudonym import upstream_user
from router.providers.scan import scan
from router.providers.translation import Translation, find
from router.surface import Dialect, Endpoint

PSEUDONYM_KEY = "upstream-pseudonym"
"""Name of the service key that accounts' pseudonyms are made under."""
_JSON = (b"content-type", b"application/json")
_OF_ONE_PROVIDER = ("provider", "output-limit")


@dataclass(frozen=True, slots=True, repr=False)
class Prepared:
    """One request for one route. `edits` are published names; `translation` is None where dialects agree."""

    url: str
    headers: list[tuple[bytes, bytes]]
    body: Body
    endpoint: Endpoint
    edits: tuple[str, ...]
    translation: Translation | None
    drop_usage_chunk: bool


def prepare(admitted: Admitted, route: Route, pseudonym_key: bytes) -> Prepared:
    """Raises InvalidRequest where the request can't be translated for this route, or an aggregator must not get it."""
    call = admitted.call
    user = upstream_user(pseudonym_key, route.provider.id, call.principal.account_id.bytes)
    spoken = wire(route.dialect)
    native = route.dialect is call.dialect
    injects = native and spoken.injects_usage(call.endpoint, admitted.peek)
    policy = Policy(
        upstream_model=route.upstream_model,
        upstream_user=user,
        allow_store=admitted.allow_store,
        zdr=admitted.zdr,
        include_usage_injected=injects,
        upstream_provider=route.forward_constraints or None,
        output_limit=route.provider.output_limit,
        aggregator=route.provider.aggregator,
    )
    if native:
        endpoint = call.endpoint
        if route.provider.aggregator:
            aggregated.refuse(admitted.scan)
        planned = spoken.plan(endpoint, admitted.scan, policy)
        data = edits.apply(admitted.scan, planned) if planned else admitted.scan.data
        names, translation, drop = edits.applied(planned), None, injects
        passing = admitted.headers
    else:
        passing = spoken.pass_headers({})
        translation = find(
            call.dialect,
            route.dialect,
            model_shown=admitted.peek.model,
            stream=admitted.peek.stream,
            include_usage=admitted.peek.include_usage,
        )
        if translation is None:  # `select` asked `can_translate`
            raise RuntimeError("a route was selected that can't be translated for")
        endpoint = translation.upstream_endpoint
        data = translation.request(
            admitted.scan.data,
            upstream_model=route.upstream_model,
            upstream_user=user,
            default_max_tokens=admitted.model.max_output_tokens,
        )
        planned = []
        if policy.upstream_provider is not None or policy.output_limit is not None:
            # What this one provider needs beyond its dialect: an aggregator is bound only by what is sent on to it.
            made = scan(data, spoken.GOVERNED)
            planned = [edit for edit in spoken.plan(endpoint, made, policy) if edit.name in _OF_ONE_PROVIDER]
            data = edits.apply(made, planned)
        names = (f"translated:{call.dialect.value}-{route.dialect.value}", *edits.applied(planned))
        drop = False
    path = spoken.upstream_path(endpoint, route.upstream_model, json_array=call.json_array and translation is None)
    headers = [_JSON]
    for source in (spoken.auth_headers(route.key.reveal()), passing):
        headers += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in source.items()]
    return Prepared(route.url(path), headers, call.body.of_same_request(data), endpoint, names, translation, drop)


def is_array(prepared: Prepared, dialect: Dialect, json_array: bool) -> bool:
    """Whether the upstream answers with Google's JSON array rather than events."""
    return json_array and dialect is Dialect.GOOGLE and prepared.translation is None
