"""May this call be served, by whom, and who pays? Each check is one line here; the parent owns the order.

Key, subject, requests per minute, body, model, data policy, size of the answer, tokens per minute, Credits, provider-side
state. Nothing has left the process when one of them refuses.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from math import ceil

from governance import events
from router.accounts.principal import Principal
from router.billing.purse import Purse, Reservation
from router.errors import Forbidden, InvalidKey, InvalidRequest, NoProviderAllowed, RateLimited
from router.gateway import answer_size
from router.gateway.call import Admitted, Call, Counted
from router.gateway.probe_routes import ProbeRoutes
from router.gateway.ratelimit import RateLimiter, Tiers, Verdict, Want, cell_key
from router.gateway.ratelimit.tiers import Rates, Tier
from router.providers import constraints as limits
from router.providers.catalog import Catalog, Model, Route
from router.providers.constraints import Constraints
from router.providers.dialects import Peek, wire
from router.providers.scan import Scan, scan
from router.providers.selection import select
from router.providers.translation import can_translate
from router.providers.usage import estimate_tokens
from router.surface import Endpoint

# What a provider may add to a prompt by itself: Anthropic's words for tools are up to 804 tokens ("Tool use" of its
# pricing), others' are a few a message, whose JSON is longer.
_ADDED_TOKENS = 1024
# Counted towards tokens per minute where the caller named no limit; corrected once the answer's usage is known.
_USUAL_OUTPUT_TOKENS = 1024
FREE = frozenset({Endpoint.COUNT_TOKENS, Endpoint.GOOGLE_COUNT_TOKENS})
_NO_OUTPUT = FREE | {Endpoint.EMBEDDINGS}
_PROBE_RATES = Rates(100_000, 1_000_000_000)
_PROBE_TIER = Tier("probe", 0, _PROBE_RATES, _PROBE_RATES)


class Limited(RateLimited):
    """A refusal by rate limit, with the verdict that its headers come from."""

    def __init__(self, verdict: Verdict, retry_after_s: int) -> None:
        super().__init__("Too many requests or tokens per minute for this key's tier.", retry_after_s=retry_after_s)
        self.verdict = verdict


def check_subject(principal: Principal) -> None:
    """Art. 18: a restricted person's data is stored, not processed. Raises Forbidden."""
    if principal.subject_state != "active":
        raise Forbidden("Processing for this account is restricted at the person's request.", code="restricted")


class Admission:
    """Holds what the checks read; has no state of its own."""

    def __init__(
        self,
        catalog: Catalog,
        tiers: Tiers,
        limiter: RateLimiter,
        purse: Purse,
        cell_secret: bytes,
        answer_bytes_max: int,
        probe_routes: ProbeRoutes | None = None,
    ) -> None:
        self._probe_routes = probe_routes
        self._catalog = catalog
        self._tiers = tiers
        self._limiter = limiter
        self._purse = purse
        self._secret = cell_secret
        self._answer_bytes_max = answer_bytes_max

    def catalog(self, principal: Principal) -> Catalog:
        """What this caller may ask for: the operator's catalog, or the probe's own and nothing of that one.

        Raises InvalidKey for the probe's key while no probe runs.
        """
        if not principal.probe:
            return self._catalog
        found = self._probe_routes.catalog() if self._probe_routes is not None else None
        if found is None:
            raise InvalidKey("The probe's key is good for nothing while no probe runs.")
        return found

    def _tier(self, principal: Principal) -> Tier:
        return _PROBE_TIER if principal.probe else self._tiers.get(principal.tier)

    def own_constraints(self, principal: Principal) -> tuple[Constraints, bool]:
        """What account and key demand of every request, and whether a provider may store content for them."""
        account, account_store = _stored(principal.account_policy)
        key, key_store = _stored(principal.key_policy)
        # Storing needs the account's yes; a key can only take it back.
        return limits.strictest(account, key), account_store is True and key_store is not False

    async def take_request(self, principal: Principal) -> Counted:
        """Count one request, before anything of its body is read: a refused request counts as well. Raises Limited."""
        account = cell_key(self._secret, "account", principal.account_id.bytes)
        key = cell_key(self._secret, "key", principal.api_key_id.bytes)
        wants = self._tier(principal).wants(account, key, 0)
        verdict = await self._limiter.take([want for want in wants if want.kind == "requests"])
        if not verdict.allowed:
            raise Limited(verdict, ceil(verdict.retry_after_s))
        return Counted(verdict, account, key)

    async def admit(self, call: Call, counted: Counted) -> Admitted:
        """Raises the GatewayError of the first check that refuses. The dearest look at the body comes last.

        Tokens and Credits that were taken are given back whatever ends this before there is an `Admitted`.
        """
        spoken = wire(call.dialect)
        body = scan(call.body.expose(), spoken.GOVERNED)
        params = {"model": call.path_model} if call.path_model is not None else {}
        peek = spoken.peek(call.endpoint, body, params)
        headers = spoken.pass_headers(call.caller.passing)
        model = self.catalog(call.principal).resolve(peek.model)
        own, allow_store = self.own_constraints(call.principal)
        demanded = limits.strictest(own, limits.from_headers(call.caller.constraints), limits.parse(peek.provider))
        zdr = demanded.zdr or demanded.max_retention_days == 0
        try:
            routes = select(model, call.endpoint, call.dialect, demanded, can_translate=can_translate)
        except NoProviderAllowed:
            await events.emit_async(
                "gateway:request:no_provider_allowed", {"request_id": call.request_id, "model": model.id}
            )
            raise
        prompts = _prompts(call, body)
        if call.endpoint is Endpoint.EMBEDDINGS:
            answer_size.check_embeddings(body, model, prompts, self._answer_bytes_max)
        readable = model.context_window * prompts
        async with AsyncExitStack() as taken:
            input_tokens = min(estimate_tokens(len(call.body)), readable)
            verdict, wanted = await self._take_tokens(call, peek, input_tokens, counted)
            taken.push_async_callback(self._limiter.settle, wanted, 0)
            output = _output_tokens(call.endpoint, peek, model) * prompts
            # A token of text is a byte at least: no estimate, or many requests at once would add up its error.
            most = min(len(call.body) + _ADDED_TOKENS, readable)
            reservation = await self._reserve(call, routes, most, output)
            taken.callback(lambda: self._purse.release(reservation) if reservation.open else None)
            spoken.refuse(call.endpoint, body, zdr=zdr)
            beyond_text = call.endpoint not in FREE and spoken.beyond_text(call.endpoint, body)
            if most < readable and beyond_text:
                # What the text costs was there; what a reference or an image costs, only the provider knows.
                most = readable
                self._purse.release(reservation)
                reservation = await self._reserve(call, routes, most, output)
            taken.pop_all()  # kept: from here on the settlement owns them
        return Admitted(
            call,
            body,
            peek,
            headers,
            model,
            routes,
            demanded,
            zdr,
            allow_store,
            most,
            output,
            beyond_text,
            wanted,
            verdict,
            reservation,
        )

    async def _take_tokens(
        self, call: Call, peek: Peek, input_tokens: int, counted: Counted
    ) -> tuple[Verdict, list[Want]]:
        tier = self._tier(call.principal)
        wants = tier.wants(counted.account_cell, counted.key_cell, _tokens(call, peek, input_tokens))
        wanted = [want for want in wants if want.kind == "tokens"]
        verdict = replace(await self._limiter.take(wanted), requests=counted.verdict.requests)
        if not verdict.allowed:
            raise Limited(verdict, ceil(verdict.retry_after_s))
        return verdict, wanted

    async def _reserve(self, call: Call, routes: list[Route], input_tokens: int, output_tokens: int) -> Reservation:
        """Set aside the most that the dearest of the routes can cost."""
        amount = 0
        if call.endpoint not in FREE:
            amount = max(route.price.reserve_microcredits(input_tokens, output_tokens) for route in routes)
        account_id = call.principal.account_id
        if call.principal.probe:
            return self._purse.reserve_nothing(account_id)
        return self._purse.try_reserve(account_id, amount) or await self._purse.reserve(account_id, amount)


def _output_tokens(endpoint: Endpoint, peek: Peek, model: Model) -> int:
    if endpoint in _NO_OUTPUT:
        return 0
    # A limit of 0 is none at some providers. One above the model's own may be had by a beta, within the window.
    each = min(peek.max_output_tokens or model.max_output_tokens, model.context_window)
    return each * max(1, peek.n)


_LISTED = {Endpoint.COMPLETIONS: "prompt", Endpoint.EMBEDDINGS: "input"}


def _prompts(call: Call, body: Scan) -> int:
    """How many prompts the body lists: each is read by itself, and a text completion's has choices of its own."""
    listed = body.value(_LISTED[call.endpoint]) if call.endpoint in _LISTED else None
    if isinstance(listed, list) and listed and isinstance(listed[0], str | list | dict):
        return len(listed)
    return 1


def _tokens(call: Call, peek: Peek, input_tokens: int) -> int:
    """For the tokens-per-minute buckets: a guess that need not be an upper bound."""
    if call.endpoint in _NO_OUTPUT:
        return input_tokens
    wished = _USUAL_OUTPUT_TOKENS if peek.max_output_tokens is None else peek.max_output_tokens
    return input_tokens + wished * max(1, peek.n)


def _stored(policy: Mapping[str, object] | None) -> tuple[Constraints, object]:
    if not policy:
        return limits.NONE, None
    rest = dict(policy)
    allow_store = rest.pop("allow_store", None)
    try:
        return limits.parse(rest), allow_store
    except InvalidRequest:
        # Written by another version: to ignore what can't be read would fail open.
        raise Forbidden("The stored data policy of this account or key can't be read.", code="data_policy") from None
