"""The control matrix is made of the controls themselves, and says which promises have none."""

from types import SimpleNamespace

import pytest

from governance.controls.control import Control
from policies import promises
from reports import control_matrix
from router.app.controls import registry
from router.app.stores import Stores
from router.settings import Settings
from tests.governance.controls.made import Made


def test_every_control_stands_with_its_rule_and_its_promises() -> None:
    class Books(Made):
        id = "ledger-balanced"

    page = control_matrix.markdown([Books], promises.load())
    assert "## ledger-balanced\n\nMade by a test.\n\n> As the test says.\n" in page
    assert "- Promises: 4.3\n- Severity: high; runs every 1 h; a pass is good for 3 h\n" in page
    assert "- bodies-not-stored: promises 3.1, 3.2" in page and "- ledger-balanced" not in page


def test_every_control_that_there_is_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {each.id for each in Control.__subclasses__() if each.__module__.split(".")[0] != "tests"}
    keys = SimpleNamespace(db=None)
    unopened = Stores(Settings(), None, keys, *[None] * 4)  # type: ignore[arg-type]  # nothing is looked at
    assert registry(unopened).ids == made
