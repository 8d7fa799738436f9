"""The values that travel along the hot path, each made by one step and read by the next."""

import time
from dataclasses import dataclass
from uuid import UUID

from governance.bodies.body import Body
from router.accounts.principal import Principal
from router.billing.purse import Reservation
from router.gateway.caller import Caller
from router.gateway.ratelimit import Verdict, Want
from router.providers.catalog import Model, Route
from router.providers.constraints import Constraints
from router.providers.dialects import Peek
from router.providers.scan import Scan
from router.surface import Dialect, Endpoint


@dataclass(slots=True, repr=False)
class Call:
    """A request whose key is known and whose body is read. `id` is also the usage row's id and the charge's key."""

    id: UUID
    request_id: str
    dialect: Dialect
    endpoint: Endpoint
    path_model: str | None
    json_array: bool
    caller: Caller
    client_ip: str | None
    principal: Principal
    body: Body
    started_ns: int

    def latency_ms(self) -> int:
        """Since the request's head was read."""
        return (time.perf_counter_ns() - self.started_ns) // 1_000_000


@dataclass(frozen=True, slots=True, repr=False)
class Counted:
    """A request that was counted: the verdict, and the hashes of account and key that its buckets are found by."""

    verdict: Verdict
    account_cell: bytes
    key_cell: bytes


@dataclass(frozen=True, slots=True, repr=False)
class Admitted:
    """A call that may be served: by which routes, under which rules, with Credits set aside."""

    call: Call
    scan: Scan
    peek: Peek
    headers: dict[str, str]  # that may go on to a provider of the caller's own dialect
    model: Model
    routes: list[Route]
    constraints: Constraints
    zdr: bool
    allow_store: bool
    input_tokens_most: int  # that the reservation covers
    output_tokens_most: int
    beyond_text: bool  # holds what can't be estimated: a reference, an image, a document
    wanted: list[Want]
    verdict: Verdict
    reservation: Reservation
