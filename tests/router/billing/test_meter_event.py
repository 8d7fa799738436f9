"""A meter event refuses what would stop the commit, and prints nothing of a person."""

from uuid import uuid4

import pytest

from governance.vault.envelope import Key
from tests.router.billing.book import IP, USER_AGENT, Customer

MADE = Customer(Key(uuid4(), bytes(32)), uuid4())


@pytest.mark.parametrize(
    "changes",
    [
        {"charge": -1},
        {"charge": 2**62},
        {"charge": 1.5},
        {"input_tokens": True},
        {"output_tokens": 2**70},
        {"at_ms": 10**15},
        {"status": 1000},
        {"outcome": "fine"},
    ],
)
def test_what_no_database_takes_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="meter event"):
        MADE.event(**({"charge": 1} | changes))  # type: ignore[arg-type]


def test_it_prints_its_id_alone() -> None:
    event = MADE.event(1)
    assert repr(event) == f"<MeterEvent {event.request_id} ***>"
    assert IP not in f"{event}"
    assert USER_AGENT not in f"{event!r}"
