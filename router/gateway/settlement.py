"""The end of a call: one charge, on the operating system's side before the last byte goes out, and one usage record."""

from contextlib import suppress
from dataclasses import replace

from governance import clock
from router.billing.meter_event import MeterEvent
from router.billing.purse import Purse
from router.errors import Unavailable
from router.gateway.call import Admitted
from router.gateway.ratelimit import RateLimiter
from router.gateway.reply import Reply
from router.providers.catalog import Route
from router.providers.usage import Usage

NOTHING = Usage(0, 0, 0, estimated=False)


class Settlement:
    """Settles a reservation once. `charge_microcredits` is None until it did."""

    __slots__ = ("_admitted", "_first_byte_ms", "_limiter", "_purse", "_reply", "charge_microcredits", "tokens")

    def __init__(self, admitted: Admitted, reply: Reply, purse: Purse, limiter: RateLimiter) -> None:
        self._admitted = admitted
        self._reply = reply
        self._purse = purse
        self._limiter = limiter
        self._first_byte_ms = 0
        self.charge_microcredits: int | None = None
        self.tokens = 0

    def first_byte(self) -> None:
        """Called when the first byte of the answer is there."""
        self._first_byte_ms = self._first_byte_ms or self._admitted.call.latency_ms()

    def settle(self, usage: Usage, route: Route | None, status: int, outcome: str, *, free: bool = False) -> int:
        """Append the charge and the record; the charge in micro-credits. Does nothing the second time.

        Raises Unavailable where the disk refuses the record: the answer must not end as if it were whole.
        """
        if self.charge_microcredits is not None:
            return self.charge_microcredits
        call = self._admitted.call
        if usage.estimated:
            # A base64 image is long and few tokens: no estimate exceeds what the model can read.
            usage = replace(usage, input_tokens=min(usage.input_tokens, self._admitted.input_tokens_most))
        charge = 0 if free or route is None else route.price.charge_microcredits(usage)
        event = MeterEvent(
            request_id=call.id,
            account_id=call.principal.account_id,
            subject_id=call.principal.subject_id,
            api_key_id=call.principal.api_key_id,
            at_ms=clock.unix_ms(),
            endpoint=call.endpoint.value,
            model=self._admitted.model.id,
            provider=route.provider.id if route is not None else "",
            input_tokens=usage.input_tokens,
            cached_input_tokens=usage.cached_input_tokens,
            cache_write_tokens=usage.cache_write_tokens,
            output_tokens=usage.output_tokens,
            estimated=usage.estimated,
            charge_microcredits=charge,
            latency_ms=call.latency_ms(),
            first_byte_ms=self._first_byte_ms,
            status=status,
            outcome=outcome,
            ip=call.client_ip,
            user_agent=call.caller.user_agent,
        )
        begun = self._reply.status is not None
        try:
            self._purse.settle(self._admitted.reservation, event, call.principal.subject_key, begun=begun)
        except Unavailable:
            if begun:
                # What went out is charged: the purse keeps the record until the disk takes it.
                self._charged(charge, usage)
            raise
        self._charged(charge, usage)
        return charge

    def _charged(self, charge: int, usage: Usage) -> None:
        self.charge_microcredits = charge
        self.tokens = usage.input_tokens + usage.output_tokens

    def close(self, status: int, outcome: str) -> None:
        """End a call that produced nothing: a record without a charge. Does nothing after `settle`.

        Where the disk refuses even that and nothing went out, the Credits set aside are given back.
        """
        if self.charge_microcredits is not None:
            return
        with suppress(Unavailable):
            self.settle(NOTHING, None, status, outcome)
        if self.charge_microcredits is None:
            self._purse.release(self._admitted.reservation)
            self.charge_microcredits = 0

    async def correct_limits(self) -> None:
        """Replace the estimate in the tokens-per-minute buckets by what was used."""
        await self._limiter.settle(self._admitted.wanted, self.tokens)
