"""Who a request comes from, as the gateway needs it: read once per key, then held in memory."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from governance.vault.envelope import Key


@dataclass(frozen=True, slots=True, repr=False)
class Principal:
    """The holder of an API key. Policies are provider constraints as JSON objects, plus `allow_store`; None: none.

    `subject_state` is a `governance.subjects.SubjectState`: `find` returns restricted subjects too, admission refuses.
    `probe`: the service's own, which sees the probe's upstream and no other.
    """

    api_key_id: UUID
    account_id: UUID
    subject_id: UUID
    tier: str
    role: str
    account_policy: dict[str, Any] | None
    key_policy: dict[str, Any] | None
    subject_key: Key
    subject_state: str
    policy_pending: bool = False
    probe: bool = False

    def __repr__(self) -> str:
        return f"<Principal {self.api_key_id}>"
