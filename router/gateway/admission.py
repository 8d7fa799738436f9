"""May this call be served, by whom, and who pays? Each check is one line here; the parent owns the order.

Key, subject, requests per minute, body, model, data policy, tokens per minute, Credits, provider-side state. Nothing has
left the process when one of them refuses.
"""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from math import ceil

from governance import events
from router.accounts.principal import Principal
from router.billing.purse import Purse, Reservation
from router.errors import Forbidden, InvalidRequest, NoProviderAllowed, RateLimited
from router.gateway.call import Admitted, Call, Counted
from router.gateway.ratelimit import RateLimiter, Tiers, Verdict, Want, cell_key
from router.providers import constraints as limits
from router.providers.catalog import Catalog, Model, Route
from router.providers.constraints import Constraints
from router.providers.dialects import Peek, wire
from router.providers.scan import Scan, scan
from router.providers.selection import select
from router.providers.translation import can_translate
from router.providers.usage import estimate_tokens
from router.surface import Endpoint

# Counted towards tokens per minute where the caller named no limit; corrected once the answer's usage is known.
_USUAL_OUTPUT_TOKENS = 1024
FREE = frozenset({Endpoint.COUNT_TOKENS, Endpoint.GOOGLE_COUNT_TOKENS})
_NO_OUTPUT = FREE | {Endpoint.EMBEDDINGS}


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

    def __init__(self, catalog: Catalog, tiers: Tiers, limiter: RateLimiter, purse: Purse, cell_secret: bytes) -> None:
        self._catalog = catalog
        self._tiers = tiers
        self._limiter = limiter
        self._purse = purse
        self._secret = cell_secret

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
        wants = self._tiers.get(principal.tier).wants(account, key, 0)
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
        model = self._catalog.resolve(peek.model)
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
        input_tokens = min(estimate_tokens(len(call.body)), model.context_window)
        async with AsyncExitStack() as taken:
            verdict, wanted = await self._take_tokens(call, peek, input_tokens, counted)
            taken.push_async_callback(self._limiter.settle, wanted, 0)
            reservation = await self._reserve(call, peek, model, routes, _prompts(call, body))
            taken.callback(self._purse.release, reservation)
            spoken.refuse(call.endpoint, body, zdr=zdr)
            taken.pop_all()  # kept: from here on the settlement owns them
        return Admitted(
            call, body, peek, headers, model, routes, demanded, zdr, allow_store, wanted, verdict, reservation
        )

    async def _take_tokens(
        self, call: Call, peek: Peek, input_tokens: int, counted: Counted
    ) -> tuple[Verdict, list[Want]]:
        tier = self._tiers.get(call.principal.tier)
        wants = tier.wants(counted.account_cell, counted.key_cell, _tokens(call, peek, input_tokens))
        wanted = [want for want in wants if want.kind == "tokens"]
        verdict = replace(await self._limiter.take(wanted), requests=counted.verdict.requests)
        if not verdict.allowed:
            raise Limited(verdict, ceil(verdict.retry_after_s))
        return verdict, wanted

    async def _reserve(self, call: Call, peek: Peek, model: Model, routes: list[Route], prompts: int) -> Reservation:
        """Set aside the most that the dearest of the routes can cost."""
        amount = 0
        if call.endpoint not in FREE:
            output = _output_tokens(call.endpoint, peek, model) * prompts
            # A token is a byte at least: the estimate may be too low, and many requests at once must not add that up.
            most = min(len(call.body), model.context_window)
            amount = max(route.price.reserve_microcredits(most, output) for route in routes)
        account_id = call.principal.account_id
        return self._purse.try_reserve(account_id, amount) or await self._purse.reserve(account_id, amount)


def _output_tokens(endpoint: Endpoint, peek: Peek, model: Model) -> int:
    if endpoint in _NO_OUTPUT:
        return 0
    each = model.max_output_tokens
    return (each if peek.max_output_tokens is None else min(peek.max_output_tokens, each)) * max(1, peek.n)


def _prompts(call: Call, body: Scan) -> int:
    """How many prompts a text completion holds: each has choices of its own."""
    prompt = body.value("prompt") if call.endpoint is Endpoint.COMPLETIONS else None
    if isinstance(prompt, list) and prompt and isinstance(prompt[0], str | list):
        return len(prompt)
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
