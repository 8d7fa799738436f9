"""Which controls are to run now."""

from collections.abc import Mapping

from governance.controls.control import Control, Outcome
from governance.controls.registry import Registry
from governance.controls.runs import Run


def by_cadence(registry: Registry, runs: Mapping[str, Run]) -> list[Control]:
    """Those that never ran, or not for their cadence; a run of a time that is yet to come doesn't count."""
    return [each for each in registry if (run := runs.get(each.id)) is None or not run.fresh(each.cadence)]


def without_fresh_pass(registry: Registry, runs: Mapping[str, Run]) -> list[Control]:
    """Those whose newest run didn't pass, or is too old to show anything."""
    return [each for each in registry if not _shown(runs.get(each.id), each)]


def _shown(run: Run | None, control: Control) -> bool:
    return run is not None and run.outcome is Outcome.PASSED and run.fresh(control.max_age)
