"""The control matrix as a page: every control, the rule that it holds, and the promises that rest on it."""

from collections.abc import Iterable

from governance.controls.control import Control
from governance.period import Period
from policies.promises import Register

_HEAD = """# The control matrix

Generated from the controls by `make docs`; CI fails when it is stale. A control is a check that enforces or verifies, and says by
itself what it found: *passed*, *failed*, or *unproven* where there was nothing to look at. Each run is signed as an
[attestation](attestation.md) is (`valueapi controls show ID --json` has it) and is an entry of the [transparency
log](transparency-log.md); a failed one opens an [incident](incidents.md). `valueapi controls list` shows how each ended
the last time, `valueapi controls run ID` runs one now, and `valueapi verify` says of each promise whether it is kept.

"""


def markdown(controls: Iterable[type[Control]], register: Register) -> str:
    """The page. Controls by id; then the ones that a promise names and that aren't built yet."""
    known = sorted(controls, key=lambda control: control.id)
    lines = []
    for each in known:
        lines += [
            f"## {each.id}\n",
            f"{each.title}.\n",
            f"> {each.rule}\n",
            f"- Source: {each.source}",
            f"- Promises: {', '.join(_serving(each.id, register)) or 'none yet'}",
            f"- Severity: {each.severity.value}; runs every {_said(each.cadence)}; a pass is good for {_said(each.max_age)}\n",
        ]
    missing = sorted(register.controls - {each.id for each in known})
    if missing:
        lines.append("## Not built yet\n")
        lines += [
            f"- {name}: promises {', '.join(_serving(name, register))} are unproven without it" for name in missing
        ]
    return _HEAD + "\n".join(lines).rstrip() + "\n"


def _serving(control: str, register: Register) -> list[str]:
    return [statement.id for statement, promise in register.promises if control in promise.controls]


def _said(period: Period) -> str:
    hours, rest = divmod(int(period.exact.total_seconds()), 3600)
    months = f"{period.months} months " if period.months else ""
    return months + (f"{hours} h" if not rest else f"{rest // 60} min" if not hours else f"{hours} h {rest // 60} min")
