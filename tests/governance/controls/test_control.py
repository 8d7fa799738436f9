"""What a run comes to, and what a registry takes."""

import pytest

from governance.controls.control import ControlResult, Outcome
from governance.controls.registry import Registry
from governance.errors import DeclarationError, NotFound
from governance.period import Period
from tests.governance.controls.made import PASSED, Made, Other


@pytest.mark.parametrize(
    ("result", "outcome"),
    [
        (ControlResult(1), Outcome.PASSED),
        (ControlResult(0), Outcome.UNPROVEN),  # nothing was looked at
        (ControlResult(5, missing="half of it can't be read"), Outcome.UNPROVEN),
        (ControlResult(5, ("one is wrong",)), Outcome.FAILED),
        (ControlResult(0, ("it couldn't look",)), Outcome.FAILED),
        (ControlResult(5, ("one is wrong",), missing="and more"), Outcome.FAILED),
    ],
)
def test_nothing_passes_that_was_not_looked_at(result: ControlResult, outcome: Outcome) -> None:
    assert result.outcome is outcome


def test_a_registry_refuses_one_id_twice_and_a_pass_that_is_too_old_before_the_next_run() -> None:
    registry = Registry([Made(PASSED), Other(PASSED)])
    assert registry.ids == {"made", "other"} and registry.get("other").id == "other"
    with pytest.raises(NotFound):
        registry.get("another")
    with pytest.raises(DeclarationError, match="Two controls"):
        Registry([Made(PASSED), Made(PASSED)])
    rare = type("Rare", (Made,), {"id": "rare", "cadence": Period.parse("PT3H")})
    with pytest.raises(DeclarationError, match="less often"):
        Registry([rare(PASSED)])
